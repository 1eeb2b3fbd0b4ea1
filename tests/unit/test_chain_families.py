"""What a contract makes is told apart by whatever decides which contracts are found."""

from dataclasses import replace

import pytest
from chains import CHAIN, CREATED_ABI, FACTORY, KINDS

from chaintide.streams.chain.abi import Events
from chaintide.streams.chain.records import Family
from chaintide.streams.chain.watch import Factory, Kind, Named, Watch

[MADE] = KINDS["factory"].factories
PLAIN = [*CREATED_ABI["inputs"][:1], CREATED_ABI["inputs"][1] | {"type": "uint256"}]


def kinds(**changed: Kind) -> dict[str, Kind]:
    return {
        **KINDS,
        "nest": replace(KINDS["factory"], factories=(replace(MADE, kind="factory"),)),
    } | changed


def ways(kinds: dict[str, Kind], kind: str = "factory") -> tuple[str, ...]:
    return Watch(CHAIN, kinds, {FACTORY: Named(kind)}).family(FACTORY, 7).factories


def made(*factories: Factory) -> Kind:
    return replace(KINDS["factory"], factories=factories)


def test_what_makes_nothing_has_no_family_wherever_it_begins():
    watch = Watch(CHAIN, KINDS, {FACTORY: Named("token")})
    assert watch.family(FACTORY, 7) == watch.family(FACTORY, 8) == Family()
    assert Watch(CHAIN, KINDS, {FACTORY: Named("factory")}).family(FACTORY, 7).since == 7


def test_the_same_settings_have_the_same_family_whatever_the_kind_is_called():
    assert ways(kinds()) == ways(kinds()) == ("47f408b2cc5d5c0d",)
    first, second = MADE, replace(MADE, kind="amm")
    both = ways(kinds(factory=made(first, second)))
    assert both == ways(kinds(factory=made(second, first)))
    assert {*ways(kinds())} < {*both}


@pytest.mark.parametrize(
    "other",
    [
        made(replace(MADE, argument="note")),
        made(replace(MADE, kind="amm")),
        made(replace(MADE, event="Made")),
        replace(KINDS["factory"], events=Events([CREATED_ABI | {"inputs": PLAIN}])),
    ],
)
def test_whatever_finds_other_contracts_is_another_family(other):
    assert not {*ways(kinds(factory=other))} & {*ways(kinds())}
    assert not {*ways(kinds(factory=other), "nest")} & {*ways(kinds(), "nest")}, "so for its maker"


def test_other_contracts_and_events_leave_a_family_as_it_is():
    more = Events([CREATED_ABI, {"type": "event", "name": "Other", "inputs": []}])
    other = kinds(factory=replace(KINDS["factory"], events=more), amm=Kind(Events([])))
    assert ways(other) == ways(kinds())


def test_a_factory_of_its_own_kind_has_a_family():
    own = made(replace(MADE, kind="factory"))
    [way] = ways(kinds(factory=own))
    assert way not in ways(kinds(factory=made(*own.factories, MADE)))


def test_one_alone_makes_what_its_family_says_and_no_more():
    both = kinds(factory=made(MADE, replace(MADE, argument="note")))
    watch = Watch(CHAIN, both, {FACTORY: Named("factory")})
    whole = watch.family(FACTORY, 0)
    assert watch.alone(FACTORY, whole).factories == [FACTORY]
    assert watch.alone(FACTORY, Family()).factories == []
    part = watch.alone(FACTORY, Family(5, ways(kinds())))
    assert part.named[FACTORY].start == 5
    assert part.family(FACTORY, 5) == Family(5, ways(kinds()))
