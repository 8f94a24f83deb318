"""Which instance is in a cell, and what pointing at another costs."""

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers.models.attention_processor import Attention

from scenograph.models.gated import add_gates
from scenograph.painting.attention import gated_attentions, observe
from scenograph.painting.gligen import Grounding
from scenograph.training.gligen import _looking
from scenograph.training.pointing import Pointer, instance_of_cells, looking_loss, pointing_loss
from tests.tiny import tiny_sd_parts

A, B = torch.tensor([8.0, 0, 0, 0]), torch.tensor([0.0, 8, 0, 0])


def grounding(*instances: tuple[tuple[float, float, float, float], torch.Tensor]) -> Grounding:
    boxes, phrases, masks = torch.zeros(1, 5, 4), torch.zeros(1, 5, 4), torch.zeros(1, 5)
    for place, (box, phrase) in enumerate(instances):
        boxes[0, place], phrases[0, place], masks[0, place] = torch.tensor(box), phrase, 1
    return Grounding(boxes_BN4=boxes, phrases_BND=phrases, masks_BN=masks)


LEFT, WHOLE, TOP = (0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5)


def test_the_smallest_box_has_the_cell() -> None:
    assert instance_of_cells(grounding((WHOLE, A), (LEFT, B)), (2, 4))[0].tolist() == [[1, 1, 0, 0]] * 2
    assert instance_of_cells(grounding((LEFT, A), (TOP, B)), (2, 4))[0].tolist() == [[0, 0, 1, 1], [0, 0, 5, 5]]
    assert (instance_of_cells(grounding(), (3, 3)) == 5).all()


def test_large_maps_are_not_looked_at() -> None:
    names = [f"{block}.attentions.0.transformer_blocks.0.fuser.attn" for block in
             ("down_blocks.1", "mid_block", "up_blocks.1", "up_blocks.2", "up_blocks.3")]  # fmt: skip
    sd15 = SimpleNamespace(
        config=SimpleNamespace(up_block_types=["UpBlock2D"] + 3 * ["CrossAttnUpBlock2D"], sample_size=64),
        named_modules=lambda: [(name, None) for name in names],
    )
    assert _looking(sd15) == names[1:4]


def says(*rows: list[tuple[torch.Tensor, float]]) -> torch.Tensor:
    return torch.stack([torch.stack([torch.cat([v, torch.tensor([none])]) for v, none in row]) for row in rows])[None]


def test_the_loss_is_the_cross_entropy_of_the_instance() -> None:
    given = grounding((LEFT, A), (TOP, B))
    right, zero = says([(A, 0), (B, 0)], [(A, 0), (0 * A, 40)]), says([(0 * A, 0)] * 2, [(0 * A, 0)] * 2)
    assert pointing_loss(right, given) < 1e-6
    assert pointing_loss(zero, given).item() == pytest.approx(math.log(3))  # two instances or none
    swapped = says([(B, 0), (A, 0)], [(B, 0), (A, 0)])
    assert pointing_loss(swapped, given) > 20


def test_instances_of_one_phrase_may_stand_for_each_other() -> None:
    twins = grounding((LEFT, A), (TOP, A), ((0.5, 0.5, 1.0, 1.0), B))
    assert pointing_loss(says([(A, 0), (A, 0)], [(A, 0), (B, 0)]), twins) < 1e-6


def test_samples_without_instances_do_not_count() -> None:
    assert pointing_loss(says([(A, 3)] * 2), grounding()) == 0
    one, none = grounding((LEFT, A)), grounding()
    said = says([(0 * A, 0)] * 2)
    both = pointing_loss(torch.cat([said, said]), one + none)
    assert both.item() == pytest.approx(pointing_loss(said, one).item()) == pytest.approx(math.log(2))


def test_the_unet_s_middle_block_is_what_points() -> None:
    unet = tiny_sd_parts()["unet"].eval()
    pointer = Pointer(unet)
    size, width = unet.config.sample_size, unet.config.cross_attention_dim
    given = torch.randn(2, 4, size, size), torch.tensor([3, 900]), torch.randn(2, 6, width)
    noise, said = pointer(*given)
    assert torch.equal(noise, unet(*given).sample)
    said.sum().backward()
    assert said.shape[0] == 2 and said.shape[-1] == width + 1
    used = [name for name, p in unet.named_parameters() if p.grad is not None]
    assert any(name.startswith("down_blocks") for name in used) and not any(n.startswith("up_blocks") for n in used)
    pointer.let_go()
    assert not unet.mid_block._forward_hooks


def looks(given: Grounding, side: int, sharp: float) -> dict[str, torch.Tensor]:
    """Gated self-attention of `side`² cells on themselves and the tokens; the right token gets `sharp` of it."""
    cells, tokens = side * side, given.boxes_BN4.shape[1]
    right = torch.nn.functional.one_hot(instance_of_cells(given, (side, side)).flatten(1), tokens + 1)[..., :tokens]
    maps = torch.full((1, 1, cells + tokens, cells + tokens), float("nan"))  # what tokens look at is nobody's business
    maps[:, 0, :cells, cells:] = sharp * right + (1 - sharp) / (cells + tokens)
    return {"some.fuser.attn": maps}


def test_cells_that_look_at_their_instance_cost_nothing() -> None:
    given = grounding((LEFT, A), (TOP, B))
    right, share = looking_loss(looks(given, 4, 1.0), given, (4, 4))
    assert right < 1e-6 and share == pytest.approx(1)
    blind, share = looking_loss(looks(given, 4, 0.0), given, (4, 4))
    assert blind > 0.3 and share == pytest.approx((0.5 + 0.25) / 2)
    exchanged = looks(grounding((TOP, A), (LEFT, B)), 4, 1.0)
    worst, share = looking_loss(exchanged, given, (4, 4))
    assert worst > blind and share == pytest.approx(0, abs=1e-6)
    assert looking_loss(looks(grounding(), 4, 0.0), grounding(), (4, 4))[0] == 0


def test_gated_attention_is_observed_as_it_is() -> None:
    unet = add_gates(tiny_sd_parts()["unet"])
    name, layer = next(iter(gated_attentions(unet).items()))
    assert isinstance(layer, Attention)
    assert name.endswith(".fuser.attn") and len(gated_attentions(unet)) > 1
    tokens = torch.randn(2, 7, layer.to_q.in_features)
    with observe(unet, [name]) as observed:
        out = layer(tokens)
        maps_BHQT = observed.maps()[name]
    values = layer.to_v(tokens).view(2, 7, layer.heads, -1).transpose(1, 2)
    mixed = layer.to_out[0]((maps_BHQT @ values).transpose(1, 2).reshape(2, 7, -1))
    assert maps_BHQT.shape == (2, layer.heads, 7, 7) and torch.allclose(out, mixed, atol=1e-5)


def test_a_full_grounding_of_real_size_costs_a_finite_sum() -> None:
    torch.manual_seed(0)
    boxes = torch.rand(4, 30, 4)
    boxes[..., 2:] = (boxes[..., :2] + 0.3).clamp(max=1)
    full = Grounding(boxes_BN4=boxes, phrases_BND=11 * torch.randn(4, 30, 128), masks_BN=torch.ones(4, 30))
    said = torch.randn(4, 8, 8, 129, requires_grad=True)
    loss = pointing_loss(said, full)
    loss.backward()
    assert torch.isfinite(loss) and said.grad is not None and bool(said.grad.isfinite().all())
