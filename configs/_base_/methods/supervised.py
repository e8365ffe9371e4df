method = dict(type='SemiSegmentor')
