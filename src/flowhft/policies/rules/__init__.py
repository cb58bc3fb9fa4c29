"""Quoting experts, closed forms and exact optima: coefficients worked out once, then plain arithmetic.

Every expert is a pair of functions: `coefficients(estimates, risk_aversion)` does the logarithms and
roots with numpy, or solves for the exact optimum and tabulates it (the oracles);
`quote(coefficients, observation, noise)` is arithmetic on numbers that numpy, numba (`numba.njit(quote)`)
and jax run alike. `EXPERTS` is the table of names: a file and a row are all that a rule needs to quote in the
lab and at the desk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, get_type_hints

from flowhft.errors import UnknownNameError, UsageError
from flowhft.policies.rules import avellaneda_stoikov, glft, glft_signal, no_quote, oracle, touch, white_noise
from flowhft.types import Estimates, Numeric, Quote

CoefficientsOf = Callable[[Estimates, Numeric], Any]  # a named tuple of numbers and arrays
QuoteOf = Callable[..., Quote]
# What a row of a table is: a rule that competes; a bound, which knows or solves more than a maker can; a
# baseline, which sees nothing and wants nothing.
Family = Literal["rule", "bound", "baseline"]


@dataclass(frozen=True)
class Expert:
    """A quoting rule that is told a market.

    Attributes:
        name: what the command line calls it.
        summary: one line for people.
        coefficients: (estimates, risk_aversion) -> named tuple of numbers.
        quote: (coefficients, observation, noise) -> Quote.
        as_run: whether it is told volatility and drift as the FlowHFT paper ran them: the raw
            relative numbers of the scenario, without units.
        privileged: whether it is told the total law (`flowhft.scenarios.total_law`) instead of the
            stated parameters.
        family: what it is compared as: a rule, a bound or a baseline.
        noisy: whether its quotes are drawn with `noise`; the others do not look at it.
        unpack: (numbers) -> coefficients, from all their numbers in one flat array; None where every
            coefficient is one number. Plain arithmetic that numba compiles too.
        check: (coefficients) -> nothing, or a `UsageError`: what `quote` takes on trust, beyond their number.
        variant_of: the rule that it runs in other units or with another sign; empty where it is none.
        without_drift: the same rule that is told no drift; empty where it is told none itself.
        sees_book: whether it looks at the order book, where a market shows one.
    """

    name: str
    summary: str
    coefficients: CoefficientsOf
    quote: QuoteOf
    as_run: bool = False
    privileged: bool = False
    family: Family = "rule"
    noisy: bool = False
    unpack: Callable[[Any], Any] | None = None
    check: Callable[[Any], None] | None = None
    variant_of: str = ""
    without_drift: str = ""
    sees_book: bool = False

    @property
    def form(self) -> type:
        """Return the named tuple of its coefficients: what `quote` annotates its first parameter with.

        Raises:
            UsageError: it annotates it with something else.
        """
        try:
            form = get_type_hints(self.quote)[next(iter(signature(self.quote).parameters))]
        except (NameError, KeyError, StopIteration, TypeError, ValueError):
            form = None
        if not (isinstance(form, type) and issubclass(form, tuple) and hasattr(form, "_fields")):
            raise UsageError(
                f"`quote` of the expert '{self.name}' must annotate its first parameter with the named tuple "
                f"of its coefficients; received {form}. Annotate it, as flowhft.policies.rules.glft does."
            )
        return form


EXPERTS = {
    expert.name: expert
    for expert in (
        Expert(
            no_quote.NO_QUOTE,
            "stays at home: quotes neither side",
            no_quote.coefficients,
            no_quote.quote,
            family="baseline",
        ),
        Expert(
            "white_noise",
            "uniform half-spreads",
            white_noise.coefficients,
            white_noise.quote,
            family="baseline",
            noisy=True,
        ),
        Expert(
            "avellaneda_stoikov",
            "reservation price until the session's end",
            avellaneda_stoikov.coefficients,
            avellaneda_stoikov.quote,
        ),
        Expert("glft", "long-run optimum without a view on drift", glft.coefficients, glft.quote),
        Expert(
            "glft_drift",
            "long-run optimum, told the drift",
            glft.coefficients_with_drift,
            glft.quote,
            without_drift="glft",
        ),
        Expert(
            "glft_signal",
            "long-run optimum that leans on the imbalance at the touch, told what it foretells",
            glft_signal.coefficients_of_imbalance,
            glft_signal.quote,
            sees_book=True,
        ),
        Expert(
            "join",
            "quotes at the best prices of the order book",
            touch.joining,
            touch.quote,
            family="baseline",
            sees_book=True,
        ),
        Expert(
            "improve",
            "betters each best price of the order book by a tick where the spread allows",
            touch.improving,
            touch.quote,
            family="baseline",
            sees_book=True,
        ),
        Expert(
            "avellaneda_stoikov_as_run",
            "as the paper ran it: inventory sign reversed, raw units",
            avellaneda_stoikov.coefficients_as_run,
            avellaneda_stoikov.quote,
            as_run=True,
            variant_of="avellaneda_stoikov",
        ),
        Expert(
            "avellaneda_stoikov_raw",
            "the published inventory sign in the paper's raw units",
            avellaneda_stoikov.coefficients,
            avellaneda_stoikov.quote,
            as_run=True,
            variant_of="avellaneda_stoikov",
        ),
        Expert(
            "glft_as_run",
            "as the paper ran it: current intensity, raw units",
            glft.coefficients_as_run,
            glft.quote,
            as_run=True,
            variant_of="glft",
        ),
        Expert(
            "glft_drift_as_run",
            "as the paper ran it: current intensity, raw units, told the drift",
            glft.coefficients_with_drift_as_run,
            glft.quote,
            as_run=True,
            variant_of="glft_drift",
            without_drift="glft_as_run",
        ),
        Expert(
            "oracle",
            "exact optimum of mean less inventory penalty, in the market's own steps",
            oracle.coefficients,
            oracle.quote,
            family="bound",
            unpack=oracle.unpack,
            check=oracle.check,
        ),
        Expert(
            "oracle_told",
            "oracle, told everything: total volatility and drift, own excitation, adverse selection",
            oracle.coefficients,
            oracle.quote,
            privileged=True,
            family="bound",
            unpack=oracle.unpack,
            check=oracle.check,
        ),
        Expert(
            "oracle_continuous",
            "the same optimum in continuous time",
            oracle.coefficients_continuous,
            oracle.quote,
            family="bound",
            unpack=oracle.unpack,
            check=oracle.check,
        ),
        Expert(
            "oracle_stationary",
            "the same in continuous time, long before the session's end",
            oracle.coefficients_stationary,
            oracle.quote,
            family="bound",
            unpack=oracle.unpack,
            check=oracle.check,
        ),
        Expert(
            "oracle_cara",
            "exact optimum of exponential utility, in continuous time",
            oracle.coefficients_exponential,
            oracle.quote,
            family="bound",
            unpack=oracle.unpack,
            check=oracle.check,
        ),
    )
}


def get(name: str) -> Expert:
    """Return the expert of this name.

    Raises:
        UnknownNameError: with the nearest name that exists.
    """
    if name not in EXPERTS:
        raise UnknownNameError("expert", name, EXPERTS)
    return EXPERTS[name]
