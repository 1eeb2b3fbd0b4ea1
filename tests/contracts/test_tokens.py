"""Factories make one token for each id; the dollar of local chains is free."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import account, refused, running_chain

CREATOR, OTHER = account(1), account(2)
MAX_SUPPLY = 2**112 - 1
ID = b"\x01" * 32


FACTORIES = [
    ("CredentialTokenFactory", "CredentialTokenCreated", "credentialId"),
    ("PersonaTokenFactory", "PersonaTokenCreated", "personaId"),
]


@pytest.fixture(scope="module", params=FACTORIES, ids=lambda names: names[0])
def live(request):
    name, event, key = request.param
    with running_chain() as chain:
        yield chain.deploy(name), event, key, chain.remember()


def test_a_token_belongs_to_its_creator_and_is_found_by_its_id(live):
    factory, event, key, chain = live
    chain.rewind()
    found = (CREATOR, factory, "createToken", ID, "Welding Licence", "WELD", 10**24)
    address = chain.read(factory, "tokenOf", ID)
    assert int(address, 16) == 0
    [created] = [said for said in act_with_token(chain, *found) if said.name == event]
    token = chain.at("MarketToken", created["tokenAddress"])
    assert created.arguments == {
        key: ID,
        "tokenAddress": token.address,
        "creator": CREATOR,
        "name": "Welding Licence",
        "symbol": "WELD",
        "supply": 10**24,
    }
    assert chain.read(factory, "tokenOf", ID) == token.address
    facts = [chain.read(token, name) for name in ("name", "symbol", "decimals", "totalSupply")]
    assert facts == ["Welding Licence", "WELD", 18, 10**24]
    assert chain.read(token, "balanceOf", CREATOR) == 10**24


def act_with_token(chain, sender, factory, *call):
    """Announce the token before it speaks: its address is known from the factory's answer."""
    asked = factory.transaction(sender, *call)
    answer = chain.anvil.rpc("eth_call", [asked, "latest"])
    chain.at("MarketToken", factory.interface.result(call[0], answer))
    return chain.act(sender, factory, *call)


def test_an_id_gets_one_token(live):
    factory, _event, _key, chain = live
    chain.rewind()
    act_with_token(chain, CREATOR, factory, "createToken", ID, "One", "ONE", 1)
    token = chain.read(factory, "tokenOf", ID)
    with refused("TokenExists", id=ID, token=token):
        chain.act(OTHER, factory, "createToken", ID, "Two", "TWO", 2)


def test_an_empty_id_is_refused(live):
    factory, _event, _key, chain = live
    with refused("EmptyId"):
        chain.act(CREATOR, factory, "createToken", bytes(32), "None", "NONE", 1)


@settings(max_examples=25)
@given(
    token_id=st.binary(min_size=32, max_size=32).filter(any),
    supply=st.sampled_from([0, 1, MAX_SUPPLY, MAX_SUPPLY + 1, 2**256 - 1]) | st.integers(0, 2**113),
)
def test_any_supply_is_made_in_full_or_refused(live, token_id, supply):
    factory, _event, _key, chain = live
    chain.rewind()
    call = (CREATOR, factory, "createToken", token_id, "Any", "ANY", supply)
    if not 0 < supply <= MAX_SUPPLY:
        with refused("SupplyOutOfRange", supply=supply, max=MAX_SUPPLY):
            chain.act(*call)
        return
    act_with_token(chain, *call)
    token = chain.at("MarketToken", chain.read(factory, "tokenOf", token_id))
    assert chain.read(token, "balanceOf", CREATOR) == chain.read(token, "totalSupply") == supply


def test_the_dollar_has_six_decimals_and_anybody_prints_it():
    with running_chain() as chain:
        usdc = chain.deploy("MockUsdc")
        [transfer] = chain.act(OTHER, usdc, "mint", CREATOR, 5_000_000)
        assert transfer.name == "Transfer"
        assert chain.read(usdc, "balanceOf", CREATOR) == 5_000_000
        assert chain.read(usdc, "decimals") == 6
