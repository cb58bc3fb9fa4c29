"""Prices as money: the account of linear and inverse contracts in the same unit, a tick x lot.

With R the price at which an inverse contract is measured (`flowhft.recordings.contract.Contract`),

    worth(P) = P                  value(P) = P              linear
    worth(P) = R (2 - R / P)      value(P) = R^2 / P        inverse

An inverse contract of V dollars that is bought at P and sold at Q gains V (1/P - 1/Q) coins, and this is
V / R^2 (worth(Q) - worth(P)). So differences of `worth` are PnL and sums of `value` are what was traded, in
units of `Contract.tick_value`: exactly. At R one tick is worth one tick, so that all else that counts ticks,
quotes and what policies see, is to first order what it is for a linear contract.
"""


def worth(price: float, reference: float) -> float:
    """Return what a lot brings that is sold at a price, up to a constant, ticks.

    Args:
        price: ticks.
        reference: of the contract, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * (2.0 - reference / price)


def value(price: float, reference: float) -> float:
    """Return the value of a lot that is traded at a price, of which fees are a share, ticks.

    Args:
        price: ticks.
        reference: of the contract, ticks; 0 for a linear one.
    """
    return price if reference == 0.0 else reference * reference / price
