"""PMTP's eq. 1 and DJO's eq. 2 on a real tiny model: by hand, against two passes, and where gradients go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scenograph.errors import TrainingError
from scenograph.unified.batch import Batch, collate
from scenograph.unified.losses import Annealing, djo_loss, near_loss, pmtp_loss, straight_through
from scenograph.unified.mask import Sharing
from scenograph.unified.model import freeze_encoders
from scenograph.unified.passes import text_logits, tower_features
from scenograph.unified.pictures import image_tokens
from scenograph.unified.sampler import Sampling, gumbel_noise, sample_images
from scenograph.unified.scoring import TEXT_ROLES, forced_image_logits, states, targets
from scenograph.unified.sequence import Role, ground_sequence, paint_sequence, shared_sequence
from tests.unified.tiny import IMAGE_LENGTH, images, layout, text_codec, tiny_janus, world_codec

CODEC = world_codec()
LAYOUTS = [layout(), layout(("a red cat", (0.0, 0.0, 0.4, 0.4)), caption="a cat"), layout(("two dogs", (0, 0, 1, 1)))]


@pytest.fixture
def model() -> Any:
    return freeze_encoders(tiny_janus(CODEC))


@pytest.fixture(scope="module")
def batch() -> Batch:
    return collate([shared_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)])


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_pmtp_by_hand(model: Any, batch: Batch) -> None:
    """Every target one by one from the full logits of transformers' own modules."""
    with torch.no_grad():
        loss = pmtp_loss(model, batch, Sharing.SHARED)
        states_BTD = states(model, batch)
        text_BTV, image_BTV = model.lm_head(states_BTD), model.model.generation_head(states_BTD)
    found: dict[int, list[float]] = {role: [] for role in Role}
    for row in range(3):
        for step in range(1, batch.ids_BT.shape[1]):
            role = int(batch.roles_BT[row, step])
            logits_V = (image_BTV if role == Role.IMAGE else text_BTV)[row, step - 1]
            if role != Role.NONE:
                found[role].append(float(F.cross_entropy(logits_V, batch.ids_BT[row, step])))
    mean = {role: sum(losses) / len(losses) for role, losses in found.items() if losses}
    text = [value for role in TEXT_ROLES for value in found[role]]
    assert float(loss.image) == pytest.approx(mean[Role.IMAGE], rel=1e-5)
    assert float(loss.layout.mean) == pytest.approx(sum(text) / len(text), rel=1e-5)
    assert float(loss.layout.expression) == pytest.approx(mean[Role.EXPRESSION], rel=1e-5)
    assert float(loss.layout.box) == pytest.approx(mean[Role.BOX], rel=1e-5)
    assert float(loss.total) == pytest.approx(float(loss.image + loss.layout.mean))


def test_targets_are_the_image_and_the_second_layout_alone() -> None:
    for codec in (CODEC, text_codec()):
        sequence = shared_sequence(codec, LAYOUTS[0], images(1)[0])
        batch = collate([sequence])
        assert batch.ids_BT[targets(batch, {Role.IMAGE})].tolist() == images(1)[0]
        answer = [*codec.write(LAYOUTS[0].instances), codec.eos]
        assert batch.ids_BT[targets(batch, TEXT_ROLES)].tolist() == answer
        said = batch.ids_BT[targets(batch, {Role.EXPRESSION})].tolist()
        assert said == [token for one in LAYOUTS[0].instances for token in codec.text(one.caption)]
        digits = batch.ids_BT[targets(batch, {Role.BOX})].tolist()
        assert len(digits) == 2 * 4 * codec.coordinates.places
        assert set(digits) <= set(codec.coordinates.digits)


def test_the_second_layout_may_stand_in_another_order() -> None:
    turned = shared_sequence(CODEC, LAYOUTS[0], images(1)[0], LAYOUTS[0].instances[::-1])
    batch = collate([turned])
    found = CODEC.read(batch.ids_BT[targets(batch, TEXT_ROLES)].tolist()).instances
    assert found == CODEC.normal(LAYOUTS[0]).instances[::-1]


def test_painting_is_the_same_in_one_pass_and_in_two(model: Any, batch: Batch) -> None:
    shared, apart = (pmtp_loss(model, batch, sharing) for sharing in (Sharing.SHARED, Sharing.TWO_PASSES))
    torch.testing.assert_close(shared.image, apart.image, atol=1e-5, rtol=1e-5)
    assert abs(shared.layout.mean.item() - apart.layout.mean.item()) > 1e-4  # the leak: grounding need not agree
    one, two = gradients(model, shared.image), gradients(model, apart.image)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-5, rtol=1e-4)


def test_dropped_samples_ground_as_in_two_passes(model: Any, batch: Batch) -> None:
    everybody = torch.ones(3, dtype=torch.bool)
    apart = pmtp_loss(model, batch, Sharing.TWO_PASSES, dropped_B=everybody)
    standing = pmtp_loss(model, batch, Sharing.TWO_PASSES)
    torch.testing.assert_close(apart.layout.mean, standing.layout.mean)  # grounding alone has nothing to drop
    for sharing in (Sharing.DROPPED, Sharing.BLIND):
        dropped = pmtp_loss(model, batch, sharing, dropped_B=everybody)
        torch.testing.assert_close(dropped.layout.mean, apart.layout.mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(dropped.image, apart.image, atol=1e-5, rtol=1e-5)


def test_blind_grounding_counts_the_dropped_samples_alone(model: Any, batch: Batch) -> None:
    dropped_B = torch.tensor([False, True, False])
    blind = pmtp_loss(model, batch, Sharing.BLIND, dropped_B=dropped_B)
    alone = collate([ground_sequence(CODEC, images(3)[1], LAYOUTS[1].instances)])
    expected = pmtp_loss(model, alone, Sharing.SHARED)
    torch.testing.assert_close(blind.layout.mean, expected.layout.mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(blind.layout.box, expected.layout.box, atol=1e-5, rtol=1e-5)
    mixed = pmtp_loss(model, batch, Sharing.DROPPED, dropped_B=dropped_B)
    torch.testing.assert_close(blind.image, mixed.image)
    nobody = pmtp_loss(model, batch, Sharing.BLIND, dropped_B=torch.zeros(3, dtype=torch.bool))
    assert nobody.layout.mean.item() == 0 and bool(nobody.total.isfinite())
    with pytest.raises(TrainingError, match="dropped_B"):
        pmtp_loss(model, batch, Sharing.DROPPED)


def test_pmtp_trains_everything_but_the_encoders(model: Any, batch: Batch) -> None:
    found = gradients(model, pmtp_loss(model, batch, Sharing.SHARED).total)
    silent = {name.split(".")[1] for name, p in model.named_parameters() if name not in found and "lm_head" not in name}
    assert silent == {"vision_model", "vqmodel", "aligner"}  # nobody looked through the tower
    assert all(bool(grad.isfinite().all()) for grad in found.values())


def test_the_loss_falls() -> None:
    model = freeze_encoders(tiny_janus(CODEC)).train()
    one = collate([shared_sequence(CODEC, LAYOUTS[0], images(1)[0])])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    first = None
    for _ in range(60):
        loss = pmtp_loss(model, one, Sharing.SHARED)
        first = first or loss.total.item()
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
    assert first is not None and loss.total.item() < 0.1 * first


def test_temperatures_fall_to_the_least_after_four_fifths() -> None:
    schedule = Annealing.over(1000, start=1.0, least=0.3)
    assert schedule.at(0) == 1.0 and schedule.at(799) > 0.3 and schedule.at(800) == pytest.approx(0.3)
    assert schedule.at(10**6) == 0.3
    assert schedule.at(5) / schedule.at(4) == pytest.approx(schedule.alpha)
    assert [Annealing(alpha=0.5).at(k) for k in range(3)] == [1.0, 0.5, 0.3]
    for wrong in ({"alpha": 1.0}, {"alpha": 0.5, "least": 2.0}, {"alpha": 0.5, "least": 0.0}):
        with pytest.raises(TrainingError, match="expected"):
            Annealing(**wrong)
    with pytest.raises(TrainingError, match="expected"):
        Annealing.over(0)


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NV = torch.randn(5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    noise_NV = gumbel_noise((5, 7), [generator] * 5, logits_NV)
    weights_NV = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    for tau in (1.0, 0.3):
        hard_NV = straight_through(logits_NV, noise_NV, tau)
        assert torch.equal(hard_NV, F.one_hot((logits_NV + noise_NV).argmax(dim=-1), 7).double())
        (found,) = torch.autograd.grad((hard_NV * weights_NV).sum(), logits_NV)
        soft_NV = ((logits_NV + noise_NV) / tau).softmax(dim=-1)
        (expected,) = torch.autograd.grad((soft_NV * weights_NV).sum(), logits_NV)
        torch.testing.assert_close(found, expected)


def test_gumbel_noise_draws_from_the_softmax() -> None:
    logits_V = torch.tensor([0.6, 0.3, 0.1]).log()
    noise_NV = gumbel_noise((1, 20_000, 3), [torch.Generator().manual_seed(0)], logits_V)[0]
    shares = (logits_V + noise_NV).argmax(dim=-1).bincount(minlength=3) / 20_000
    assert shares.tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.015)
    assert float(noise_NV.mean()) == pytest.approx(0.5772, abs=0.02)


def passes(seen: bool = False) -> tuple[Batch, Batch]:
    painting = collate([paint_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)])
    shown: list[Any] = images(3)
    if seen:
        shown[1] = IMAGE_LENGTH
    grounding = collate([ground_sequence(CODEC, ids, x.instances) for x, ids in zip(LAYOUTS, shown, strict=True)])
    return painting, grounding


def noise() -> Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    return gumbel_noise((3, IMAGE_LENGTH, 24), generators, torch.zeros(1))


def test_djo_by_hand(model: Any) -> None:
    """The loop loss is the grounding loss of the very tokens that logits and noise pick."""
    painting, grounding = passes()
    loss = djo_loss(model, painting, grounding, noise_BNV=noise(), tau=0.7, weight=2.5)
    with torch.no_grad():
        logits_BNV = forced_image_logits(model, painting, states(model, painting))
        drawn = (logits_BNV + noise()).argmax(dim=-1).tolist()
        alone = collate([ground_sequence(CODEC, ids, x.instances) for x, ids in zip(LAYOUTS, drawn, strict=True)])
        expected = pmtp_loss(model, alone, Sharing.SHARED).layout
    assert drawn != images(3)
    torch.testing.assert_close(loss.layout.mean.detach(), expected.mean, atol=1e-5, rtol=1e-5)
    shared = collate([shared_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)])
    torch.testing.assert_close(loss.image, pmtp_loss(model, shared, Sharing.SHARED).image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.total, loss.image + 2.5 * loss.layout.mean)


def test_the_loop_reaches_the_painter_through_the_image(model: Any) -> None:
    painting, grounding = passes()
    loss = djo_loss(model, painting, grounding, noise_BNV=noise(), tau=1.0)
    found = gradients(model, loss.layout.mean)
    head = [name for name in found if "generation_head" in name]
    assert head and all(float(found[name].abs().sum()) > 0 for name in head)
    assert float(found["model.generation_embeddings.weight"].abs().sum()) > 0
    cut = djo_loss(model, painting, grounding, noise_BNV=noise(), tau=1.0, closed=False)
    torch.testing.assert_close(cut.total, loss.total)
    found = gradients(model, cut.layout.mean)  # grounding still learns, the painter's head nothing
    assert not any(name in found and float(found[name].abs().sum()) for name in head)
    assert float(found["model.language_model.embed_tokens.weight"].abs().sum()) > 0


def test_samples_seen_through_the_tower_leave_the_painter_alone(model: Any) -> None:
    painting, grounding = passes(seen=True)
    pixels_BCHW = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def loss(features_BND: Tensor, noise_BNV: Tensor) -> Any:
        return djo_loss(model, painting, grounding, noise_BNV=noise_BNV, tau=1.0, features_BND=features_BND)

    features_BND = tower_features(model, pixels_BCHW)
    other = noise()
    other[1] = -other[1]
    one, two = loss(features_BND, noise()), loss(features_BND, other)
    torch.testing.assert_close(one.layout.mean, two.layout.mean)  # the second row's draw is not looked at
    assert abs(one.layout.mean.item() - loss(-features_BND, noise()).layout.mean.item()) > 1e-5
    found = gradients(model, one.layout.mean)
    assert float(found["model.aligner.fc1.weight"].abs().sum()) > 0
    grounding = grounding.silenced(torch.tensor([True, False, True]), TEXT_ROLES)  # the seen sample alone
    found = gradients(model, loss(tower_features(model, pixels_BCHW), noise()).layout.mean)
    assert all(float(grad.abs().sum()) == 0 for name, grad in found.items() if "generation_head" in name)
    assert not any("vision_model" in name or "vqmodel" in name for name in found)


def test_a_rollout_returns_its_own_tokens(model: Any) -> None:
    """Sampled freely with its noise kept, then replayed in one parallel pass: the same tokens reach the loop."""
    painting, grounding = passes()
    prefixes = [paint_sequence(CODEC, one) for one in LAYOUTS]
    drawn = sample_images(model, prefixes, sampling=Sampling(), seeds=[1, 2, 3], keep_noise=True)
    assert drawn.noise_BNV is not None
    loss = djo_loss(model, painting, grounding, noise_BNV=drawn.noise_BNV, tau=0.5, drawn_BN=drawn.tokens_BN)
    rows = zip(LAYOUTS, drawn.tokens_BN.tolist(), strict=True)
    alone = collate([ground_sequence(CODEC, ids, one.instances) for one, ids in rows])
    torch.testing.assert_close(
        loss.layout.mean, pmtp_loss(model, alone, Sharing.SHARED).layout.mean, atol=1e-5, rtol=1e-5
    )
    forced = djo_loss(model, painting, grounding, noise_BNV=drawn.noise_BNV, tau=0.5)
    torch.testing.assert_close(loss.image, forced.image)  # painting is learnt from the real image either way


def test_half_precision_models_have_finite_losses_and_draws(batch: Batch) -> None:
    model = freeze_encoders(tiny_janus(CODEC)).to(torch.bfloat16)
    pixels_BCHW = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    painting, grounding = passes(seen=True)
    features_BND = tower_features(model, pixels_BCHW)
    joint = djo_loss(model, painting, grounding, noise_BNV=noise(), tau=0.5, features_BND=features_BND).total
    for loss in (pmtp_loss(model, batch, Sharing.SHARED).total, joint):
        assert loss.dtype == torch.float32
        assert all(bool(grad.isfinite().all()) for grad in gradients(model, loss).values())
    prefixes = [paint_sequence(CODEC, one) for one in LAYOUTS]
    assert bool(sample_images(model, prefixes, sampling=Sampling(), seeds=[1, 2, 3]).log_probs_BN.isfinite().all())
    assert image_tokens(model, pixels_BCHW).shape == (1, IMAGE_LENGTH)


def test_a_coordinate_nearly_right_is_nearly_as_good(model: Any, batch: Batch) -> None:
    """By hand: a bell around each coordinate, among the location tokens alone."""
    digits = CODEC.coordinates.digits
    with torch.no_grad():
        states_BTD = states(model, batch)
        found = near_loss(model, batch, states_BTD, digits)
        expected = []
        for row, ids_T in enumerate(batch.ids_BT):
            for place in range(1, len(ids_T)):
                if batch.roles_BT[row, place] != Role.BOX:
                    continue
                logs = text_logits(model, states_BTD[row, place - 1])[list(digits)].double().log_softmax(-1)
                k = digits.index(int(ids_T[place]))
                bell = np.exp(-0.5 * ((np.arange(len(digits)) - k) / 1.5) ** 2)
                expected.append(-float(logs @ torch.from_numpy(bell / bell.sum())))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(pmtp_loss(model, batch, Sharing.SHARED, locations=digits).near) == pytest.approx(
        float(found), rel=1e-5
    )
    assert float(pmtp_loss(model, batch, Sharing.SHARED).near) == 0
