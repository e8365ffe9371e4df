# Wu et al., IPixMatch, 2024. The sources give no formula, weight or threshold: see docs/ipixmatch.md for ours.
inter_pixel = dict(type='InterPixelLoss', mode='kl', threshold=0.8, loss_weight=0.1)
