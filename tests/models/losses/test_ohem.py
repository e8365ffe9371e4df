import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.structures import SegDataSample

from mmseg_semi.models import MeanOHEMPixelSampler


def head_loss(logits, label, **sampler):
    head = FCNHead(
        in_channels=4, channels=4, num_convs=0, concat_input=False, num_classes=logits.shape[1],
        loss_decode=dict(type='CrossEntropyLoss'), sampler=dict(type='MeanOHEMPixelSampler', **sampler),
    )  # fmt: skip
    assert isinstance(head.sampler, MeanOHEMPixelSampler)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in label]
    return head.loss_by_feat(logits, samples)['loss_ce']


def test_the_loss_is_the_mean_over_the_pixels_that_are_kept():
    torch.manual_seed(0)
    logits, label = 3 * torch.randn(2, 5, 8, 9), torch.randint(5, (2, 8, 9))
    label[0, :3] = 255
    prob = logits.softmax(dim=1).gather(1, label.where(label != 255, 0)[:, None])[:, 0][label != 255]
    for min_kept, kept in ((2, prob < 0.7), (55, prob < prob.sort().values[110])):
        assert 0 < kept.sum() < len(prob)
        loss = head_loss(logits, label, thresh=0.7, min_kept=min_kept)
        torch.testing.assert_close(loss, -prob[kept].log().mean())


def test_all_pixels_are_hard_where_none_is_easy():
    logits, label = torch.zeros(1, 5, 8, 9), torch.randint(5, (1, 8, 9))
    torch.testing.assert_close(head_loss(logits, label, thresh=0.7, min_kept=2), F.cross_entropy(logits, label))


def test_without_a_label_it_is_zero_with_a_gradient():
    logits = torch.randn(1, 5, 8, 9, requires_grad=True)
    loss = head_loss(logits, torch.full((1, 8, 9), 255), thresh=0.7, min_kept=2)
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()
