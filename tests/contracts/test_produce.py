"""Produce on its way from farm to shop: each event, each refusal, any journey."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import LocalChain, account, refused, running_chain

OWNER, FARMER, CARRIER, SHOP, INSPECTOR = (account(number) for number in range(1, 6))
PEOPLE = (FARMER, CARRIER, SHOP)
LOT, REPORT = b"\x0f" * 32, b"\xee" * 32
NOBODY = "0x" + "00" * 20
HARVESTED, PACKED, IN_TRANSIT, ON_SHELF, SOLD = range(5)


class Registry:
    def __init__(self, chain: LocalChain) -> None:
        self.chain = chain
        self.contract = chain.deploy("ProduceRegistry", OWNER)
        self.act(OWNER, "setVerifier", INSPECTOR, True)
        chain.remember()

    def registered(self):
        self.chain.rewind()
        self.said = self.act(FARMER, "register", LOT, "tomatoes", 25_000, "North field")
        return self

    def act(self, person, function, *arguments):
        said = self.chain.act(person, self.contract, function, *arguments)
        return {each.name: dict(each.arguments) for each in said}

    def lot(self):
        farmer, grams, stage, holder, price = self.chain.read(self.contract, "lots", LOT)
        return {
            "farmer": farmer,
            "grams": grams,
            "stage": stage,
            "holder": holder,
            "price": price,
        }


@pytest.fixture(scope="module")
def live():
    with running_chain() as chain:
        yield Registry(chain)


@pytest.fixture
def registry(live):
    return live.registered()


def test_a_lot_goes_from_farm_to_shop(registry):
    assert registry.said["ProduceRegistered"] == {
        "produceId": LOT,
        "farmer": FARMER,
        "kind": "tomatoes",
        "grams": 25_000,
        "origin": "North field",
    }
    said = registry.act(FARMER, "update", LOT, PACKED, "Packing house")["ProduceUpdated"]
    assert said == {
        "produceId": LOT,
        "holder": FARMER,
        "stage": PACKED,
        "place": "Packing house",
    }
    said = registry.act(INSPECTOR, "verifyQuality", LOT, 93, REPORT)["QualityVerified"]
    assert said == {"produceId": LOT, "verifier": INSPECTOR, "grade": 93, "reportHash": REPORT}
    said = registry.act(FARMER, "transfer", LOT, CARRIER)["ProduceTransferred"]
    assert said == {"produceId": LOT, "from": FARMER, "to": CARRIER}
    registry.act(CARRIER, "transfer", LOT, SHOP)
    said = registry.act(SHOP, "setPrice", LOT, 60 * 10**6)["PriceSet"]
    assert said == {"produceId": LOT, "holder": SHOP, "price": 60 * 10**6}
    registry.act(SHOP, "update", LOT, SOLD, "Market square")
    assert registry.lot() == {
        "farmer": FARMER,
        "grams": 25_000,
        "stage": SOLD,
        "holder": SHOP,
        "price": 60 * 10**6,
    }


def test_a_lot_is_registered_once_with_an_id_and_a_weight(registry):
    with refused("EmptyId"):
        registry.act(FARMER, "register", bytes(32), "kale", 1, "")
    with refused("ZeroAmount"):
        registry.act(FARMER, "register", REPORT, "kale", 0, "")
    with refused("ProduceExists", produceId=LOT):
        registry.act(SHOP, "register", LOT, "kale", 1, "")


@pytest.mark.parametrize(
    "call", [("update", PACKED, ""), ("transfer", SHOP), ("setPrice", 1)], ids=lambda call: call[0]
)
def test_only_the_holder_changes_a_lot_and_nobody_one_that_is_sold_or_unknown(registry, call):
    function, *arguments = call
    with refused("NotHolder", produceId=LOT, caller=SHOP):
        registry.act(SHOP, function, LOT, *arguments)
    with refused("UnknownProduce", produceId=REPORT):
        registry.act(FARMER, function, REPORT, *arguments)
    registry.act(FARMER, "update", LOT, SOLD, "")
    with refused("ProduceSold", produceId=LOT):
        registry.act(FARMER, function, LOT, *arguments)


def test_stages_never_go_back_and_a_lot_always_has_a_holder(registry):
    registry.act(FARMER, "update", LOT, IN_TRANSIT, "")
    with refused("StageBackwards", current=IN_TRANSIT, asked=PACKED):
        registry.act(FARMER, "update", LOT, PACKED, "")
    with refused("ZeroAddress"):
        registry.act(FARMER, "transfer", LOT, NOBODY)


def test_only_trusted_people_verify_what_was_never_theirs(registry):
    said = registry.act(OWNER, "setVerifier", CARRIER, True)["VerifierChanged"]
    assert said == {"verifier": CARRIER, "isVerifier": True}
    with refused("NotVerifier", caller=FARMER):
        registry.act(FARMER, "verifyQuality", LOT, 50, REPORT)
    with refused("GradeOutOfRange", grade=101):
        registry.act(INSPECTOR, "verifyQuality", LOT, 101, REPORT)
    with refused("UnknownProduce", produceId=REPORT):
        registry.act(INSPECTOR, "verifyQuality", REPORT, 50, REPORT)
    registry.act(FARMER, "transfer", LOT, CARRIER)
    with refused("OwnProduce", produceId=LOT):
        registry.act(CARRIER, "verifyQuality", LOT, 50, REPORT)
    with refused("OwnableUnauthorizedAccount", account=CARRIER):
        registry.act(CARRIER, "setVerifier", CARRIER, False)
    registry.act(OWNER, "setVerifier", INSPECTOR, False)
    with refused("NotVerifier", caller=INSPECTOR):
        registry.act(INSPECTOR, "verifyQuality", LOT, 50, REPORT)


MOVES = st.one_of(
    st.tuples(st.just("update"), st.integers(HARVESTED, SOLD), st.text(max_size=40)),
    st.tuples(st.just("transfer"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("setPrice"), st.sampled_from([0, 2**256 - 1])),
)


@settings(max_examples=40)
@given(moves=st.lists(st.tuples(st.sampled_from(PEOPLE), MOVES), max_size=8))
def test_after_any_journey_a_lot_is_where_its_events_say(live, moves):
    registry = live.registered()
    known = registry.lot()
    for who, (function, *arguments) in moves:
        call = (who, function, LOT, *arguments)
        if who != known["holder"]:
            with refused("NotHolder", produceId=LOT, caller=who):
                registry.act(*call)
        elif known["stage"] == SOLD:
            with refused("ProduceSold", produceId=LOT):
                registry.act(*call)
        elif function == "update" and arguments[0] < known["stage"]:
            with refused("StageBackwards", current=known["stage"], asked=arguments[0]):
                registry.act(*call)
        else:
            [said] = registry.act(*call).values()
            named = {"update": "stage", "transfer": "to", "setPrice": "price"}[function]
            key = {"to": "holder"}.get(named, named)
            known[key] = said[named]
    assert registry.lot() == known
