"""Training under differential privacy: clipped patients, noisy sums (Opacus).

One example is one patient (disclosure rule 1). A step draws each training patient by a
coin of its own, clips each one's gradient, sums, adds noise, and divides by a number
of the contract: nothing in it but the noisy sum depends on the patients. Optimiser and
strategy then do what they do without it, since whatever follows from noisy sums is
covered by them. Coins and noise come from the site's secret and from the arrays that
are trained from: the same round asked again gives the same answer, and a round from
other weights other noise (disclosure rule 13).

What this bounds, and what not, is told in `fednb.records.dp.DP`; the site's budgets are
kept in `fednb.site.budgets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import torch
from opacus.optimizers import DPOptimizer
from opacus.validators import ModuleValidator
from torch.func import functional_call, grad, vmap
from torch.nn.functional import binary_cross_entropy_with_logits
from typing_extensions import override

from fednb.errors import InputError
from fednb.records.arrays import hash_of
from fednb.site.tasks.runtime import generator
from fednb.site.tasks.secret import SecretStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fednb.records.dp import DP
    from fednb.records.tasks import TrainingPlan
    from fednb.site.tasks.evaluate import Setting
    from fednb.site.tasks.job import Job
    from fednb.strategies.base import LocalRound

GRADIENT_BYTES: Final = 2**28
"""Memory that the gradients of the patients of one pass may take."""

SECRET_BYTES: Final = 16
"""Fewer would let somebody guess the noise (disclosure rule 13)."""


def private_round(
    job: Job,
    plan: TrainingPlan,
    setting: Setting,
    rows: NDArray[np.int64],
    work: LocalRound,
    progress: Callable[[int, int], None],
) -> LocalRound:
    """Return a round whose gradients are noisy and whose batches are drawn by coins.

    Parameters
    ----------
    job
        With the site's secret of this place.
    plan
        With settled differential privacy.
    setting
        Network and patients.
    rows
        Training patients.
    work
        The round without differential privacy.
    progress
        Called with the number of steps done, and of all.

    Raises
    ------
    InputError
        The plan leaves something open, the site gave no secret, the strategy looks at
        more than noisy gradients, or the network mixes patients.
    """
    dp = plan.dp
    if dp is None or not dp.settled:
        message = f"Private training needs settled differential privacy; got {dp}."
        raise InputError(message)
    if len(job.secret) < SECRET_BYTES:
        message = f"Private training needs a secret of {SECRET_BYTES} bytes or more."
        raise InputError(message)
    setting.model.train()
    check_network(setting.model)
    place = hash_of(job.arrays)
    scope = (plan.seed, job.site, job.round)
    step = _NoisySum(
        list(setting.model.parameters()),
        dp,
        expected=dp.sampling_rate * job.share * dp.patients,
        source=SecretStream(job.secret, "noise", place),
    )
    size = sum(p.numel() for p in setting.model.parameters())
    batches = _Coins(rows, dp, SecretStream(job.secret, "coins", place), progress)
    loss = _PrivateLoss(
        setting,
        step,
        chunk=max(1, min(plan.batch_size, GRADIENT_BYTES // (4 * size))),
        augment=generator(*scope, "augment"),
    )
    # label counts and numbers of batches would tell of patients beside the noise
    return replace(work, loss=loss, batches=batches, epochs=1, counts=(0, 0))


def check_network(model: nn.Module) -> None:
    """Refuse layers in which one patient's output depends on other patients.

    Raises
    ------
    InputError
        There is one, for example a batch norm.
    """
    wrong = ModuleValidator.validate(model, strict=False)
    if wrong:
        mixing = (torch.nn.modules.batchnorm._BatchNorm,)  # noqa: SLF001
        named = [n for n, m in model.named_modules() if isinstance(m, mixing)]
        kinds = sorted({type(m).__name__ for m in model.modules()} & _MIXING)
        message = (
            f"The network cannot be trained under differential privacy: "
            f"{', '.join(kinds) or 'a layer'} in {', '.join(named) or 'it'} mixes "
            "patients. Use a network with group norms."
        )
        raise InputError(message, detail="; ".join(map(str, wrong)))


_MIXING: Final = {
    *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"),
    *("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
}


@dataclass(frozen=True)
class Lot:
    """The patients that one step drew; there may be none."""

    rows: NDArray[np.int64]


@dataclass
class _Coins:
    """Lots of patients, each in it by a coin of its own (Poisson sampling)."""

    rows: NDArray[np.int64]
    dp: DP
    source: SecretStream
    progress: Callable[[int, int], None]
    done: int = field(default=0)

    def __call__(self, *, balanced: bool = False, iterations: int = 0) -> Iterator[Lot]:
        if balanced or iterations:
            message = "Under differential privacy a step draws every patient alike."
            raise InputError(message)
        for _ in range(self.dp.steps):
            coins = self.source.uniform(len(self.rows))
            yield Lot(self.rows[coins < self.dp.sampling_rate])
            self.done += 1
            self.progress(self.done, self.dp.steps)


class _NoisySum(DPOptimizer):
    """Opacus' clipping and summing, with noise of the site's own stream."""

    def __init__(
        self,
        parameters: list[nn.Parameter],
        dp: DP,
        *,
        expected: float,
        source: SecretStream,
    ) -> None:
        # it only carries the parameters: the plan's own optimiser moves them
        carrier = torch.optim.SGD(parameters, lr=0.0)
        super().__init__(
            carrier,
            noise_multiplier=dp.noise_multiplier,
            max_grad_norm=dp.max_grad_norm,
            expected_batch_size=expected,
        )
        self._source = source

    @override
    def add_noise(self) -> None:
        """Put the noisy sum of clipped gradients into each parameter's ``grad``."""
        scale = self.noise_multiplier * self.max_grad_norm
        for parameter in self.params:
            drawn = torch.from_numpy(self._source.normal(parameter.numel()))
            noise = drawn.to(parameter.device).view_as(parameter)
            parameter.grad = parameter.summed_grad.view_as(parameter) + scale * noise

    def forget(self) -> None:
        """Drop each patient's gradients: the network stays warm for other tasks."""
        for parameter in self.params:
            parameter.grad_sample = None
            parameter.summed_grad = None


@dataclass
class _PrivateLoss:
    """Binary cross-entropy of a lot, whose backward pass leaves noisy gradients."""

    setting: Setting
    step: _NoisySum
    chunk: int
    augment: np.random.Generator

    def __post_init__(self) -> None:
        self._each = vmap(
            grad(self._one), in_dims=(None, 0, 0, 0), randomness="different"
        )
        self._each_bare = vmap(
            grad(self._one), in_dims=(None, 0, None, 0), randomness="different"
        )

    def __call__(
        self, lot: Lot, class_weights: tuple[float, float] | None = None, /
    ) -> _Pending:
        if class_weights is not None:
            message = "Under differential privacy patients cannot be weighed by label."
            raise InputError(message)
        return _Pending(self, lot)

    def backward(self, lot: Lot) -> None:
        """Leave the noisy, scaled sum of the lot's clipped gradients in ``grad``."""
        self.step.forget()
        model = self.setting.model
        parameters = dict(model.named_parameters())
        starts = range(0, max(len(lot.rows), 1), self.chunk)
        for start in starts:
            rows = lot.rows[start : start + self.chunk]
            found = self._gradients(rows, parameters)
            for name, parameter in parameters.items():
                parameter.grad_sample = found[name]  # type: ignore[attr-defined]
            self.step.signal_skip_step(do_skip=start != starts[-1])
            self.step.pre_step()
        self.step.forget()

    def _gradients(
        self, rows: NDArray[np.int64], parameters: dict[str, nn.Parameter]
    ) -> dict[str, Tensor]:
        """Return each patient's gradient, shape (n, *parameter's)."""
        if not len(rows):
            return {name: p.new_zeros((0, *p.shape)) for name, p in parameters.items()}
        batch = self.setting.patients.batch(rows, self.augment)
        plain = {name: p.detach() for name, p in parameters.items()}
        each = self._each_bare if batch.covariates is None else self._each
        found = each(plain, batch.images, batch.covariates, batch.labels)
        # one patient's infinity would make the sum one, clipped or not
        return {name: torch.nan_to_num(g, 0.0, 0.0, 0.0) for name, g in found.items()}

    def _one(
        self,
        weights: dict[str, Tensor],
        image: Tensor,
        inputs: Tensor | None,
        label: Tensor,
    ) -> Tensor:
        """Return one patient's loss."""
        given = None if inputs is None else inputs[None]
        with self.setting.runtime.precision():
            logits = functional_call(self.setting.model, weights, (image[None], given))
        return binary_cross_entropy_with_logits(logits[0, 0].float(), label)


@dataclass(frozen=True)
class _Pending:
    """What a loss is to a strategy: something to go backward from."""

    loss: _PrivateLoss
    lot: Lot

    def backward(self) -> None:
        """Leave gradients in the parameters."""
        self.loss.backward(self.lot)
