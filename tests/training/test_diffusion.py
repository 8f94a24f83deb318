"""How much each step of the noise weighs in tiny-sd's loss."""

import torch

from scenograph.training.diffusion import noise_schedule, step_weights


def test_little_noise_weighs_as_in_min_snr_and_much_noise_as_in_v_prediction() -> None:
    schedule = noise_schedule()
    t_B = torch.arange(1000)
    alpha_bar = schedule.alphas_cumprod
    snr = alpha_bar / (1 - alpha_bar)
    weights_B = step_weights(schedule, t_B, 5.0, 10.0)
    little, middle, much = snr > 5, (snr < 5) & (snr > 1 / 9), snr < 1 / 9
    assert torch.allclose(weights_B[little], 5 / snr[little] * (1 + 1 / snr[little]))
    assert torch.allclose(weights_B[middle], 1 + 1 / snr[middle])
    assert (weights_B[much] == 10).all(), "the cap holds"
    assert torch.allclose(step_weights(schedule, t_B, None, 1.0), torch.ones(1000)), "the plain mean"
