"""Janus-Pro-1B's sizes with random weights: every stage's loss runs once. Slow: 9 GB of memory and some minutes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import JanusForConditionalGeneration

from scenograph.training.grpo import group_advantages, grpo_loss
from scenograph.unified.batch import collate
from scenograph.unified.losses import djo_loss, pmtp_loss
from scenograph.unified.mask import Sharing
from scenograph.unified.model import real_config
from scenograph.unified.sampler import Sampling, gumbel_noise
from scenograph.unified.scoring import image_log_probs
from scenograph.unified.sequence import ground_sequence, null_sequence, paint_sequence, shared_sequence
from tests.unified.tiny import layout, text_codec

CODEC = text_codec()
IMAGE = [int(k) for k in torch.arange(0, 16_384, 1024)]  # 16 of the 576 tokens

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return JanusForConditionalGeneration(real_config()).eval()


def test_every_stage_has_a_loss(model: Any) -> None:
    """A random model is about as sure as a die: log 16 384 an image token and log 102 400 a text token."""
    asked = layout()
    with torch.no_grad():
        shared = collate([shared_sequence(CODEC, asked, IMAGE)])
        loss = pmtp_loss(model, shared, Sharing.SHARED)
        apart = pmtp_loss(model, shared, Sharing.TWO_PASSES)
        torch.testing.assert_close(loss.image, apart.image, atol=1e-4, rtol=1e-4)
        assert 9.0 < float(loss.image) < 11.0 and 10.5 < float(loss.layout.mean) < 13.0

        noise_BNV = gumbel_noise((1, len(IMAGE), 16_384), [torch.Generator().manual_seed(0)], torch.zeros(1))
        painting = collate([paint_sequence(CODEC, asked, IMAGE)])
        grounding = collate([ground_sequence(CODEC, IMAGE, asked.instances)])
        joint = djo_loss(model, painting, grounding, noise_BNV=noise_BNV, tau=0.5)
        assert 10.5 < float(joint.layout.mean) < 13.0

        tokens_BN = torch.tensor([IMAGE, IMAGE[::-1]])
        prefixes = [paint_sequence(CODEC, asked)] * 2
        nulls = [null_sequence(CODEC)] * 2
        logs_NT, _ = image_log_probs(model, prefixes, tokens_BN, nulls=nulls, sampling=Sampling(guidance=2.0))
        advantages_N = group_advantages(torch.tensor([[0.2, 0.8]]))[0]
        policy = grpo_loss(logs_NT, logs_NT, logs_NT, advantages_N)
        assert float(policy.ratio) == 1 and bool(policy.total.isfinite())
