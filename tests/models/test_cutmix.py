import pytest
import torch

from mmseg_semi.models import Target, cutmix


def test_image_i_shows_its_partner_where_its_region_is_positive():
    image, logits = torch.rand(4, 3, 5, 6), torch.rand(4, 2, 5, 6)
    valid, region = torch.rand(4, 5, 6) > 0.5, torch.randint(0, 3, (4, 5, 6))
    mixed, target = cutmix(image, Target(logits, valid, torch.zeros_like(region)), region)
    for i in range(2):
        for y in range(5):
            for x in range(6):
                source = i + 2 if region[i, y, x] > 0 else i
                assert torch.equal(mixed[i, :, y, x], image[source, :, y, x])
                assert torch.equal(target.logits[i, :, y, x], logits[source, :, y, x])
                assert target.valid[i, y, x] == valid[source, y, x]
    assert torch.equal(target.region, region[:2])


@pytest.mark.parametrize('count', [0, 1, 3])
def test_images_that_make_no_pairs_are_refused(count):
    empty = torch.zeros(count, 4, 4)
    target = Target(torch.zeros(count, 2, 4, 4), empty.bool(), empty.long())
    with pytest.raises(ValueError, match=f'the batch holds {count}: make the unlabelled part'):
        cutmix(torch.zeros(count, 3, 4, 4), target, empty.long())
