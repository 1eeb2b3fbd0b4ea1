"""A file names chains and contracts; what is wrong in it is refused by chain and field."""

import json
from pathlib import Path

import pytest

from chaintide.streams.chain.chainfile import chains_of, chosen, read_chains
from chaintide.streams.chain.chains import Following, Surroundings
from chaintide.streams.chain.kinds import known_kinds, watch_of
from chaintide.streams.chain.watch import Named
from chaintide.streams.errors import ConfigError
from chaintide.streams.kafka import KafkaConfig

AMM, FACTORY = "0x" + "A1" * 20, "0x" + "fa" * 20
WHOLE = f"""
[[chains]]
name = "ethereum"
id = 1
http = ["https://one.example", "http://two.example"]
ws = "wss://one.example"
start_block = 7
quotes = ["{FACTORY}"]

[[chains.contracts]]
kind = "uniswap-v3-pool"
address = "{AMM}"
start_block = 9

[[chains.contracts]]
kind = "dao-factory"
address = "{FACTORY}"

[[chains]]
name = "local"
id = 31337
http = ["http://127.0.0.1:8545"]
"""


def chain(**more):
    return {"name": "local", "id": 5, "http": ["http://127.0.0.1:1"], **more}


def read(*chains):
    return chains_of(json.dumps({"chains": list(chains)}), is_json=True)


def contract(**more):
    return chain(contracts=[{"address": AMM, **more}])


def test_a_file_in_toml_names_chains_and_contracts(tmp_path):
    path = tmp_path / "chains.toml"
    path.write_text(WHOLE)
    ethereum, local = read_chains(path)
    assert (ethereum.key, ethereum.ws, local.contracts) == ("1", "wss://one.example", [])
    watch = watch_of(ethereum, tmp_path)
    assert watch.chain == "1"
    assert watch.named[AMM.lower()] == Named("uniswap-v3-pool", 9)
    assert watch.named[FACTORY] == Named("dao-factory", 7), "from where the chain starts"


def test_json_says_the_same(tmp_path):
    path = tmp_path / "chains.json"
    path.write_text(json.dumps({"chains": [chain()]}))
    assert read_chains(path) == read(chain())


def test_chains_are_chosen_by_name_or_id_each_once():
    chains = chains_of(WHOLE)
    assert [one.name for one in chosen(chains, ["31337", "ethereum", "local"])] == [
        "local",
        "ethereum",
    ]
    with pytest.raises(ConfigError, match=r"no chain polygon; there are ethereum \(1\), local"):
        chosen(chains, ["polygon"])


@pytest.mark.parametrize(
    ("chains", "message"),
    [
        ([chain(id="5")], "chain local: id: Expected `int`, got `str`"),
        ([chain(id=0)], "chain local: id: Expected `int` >= 1"),
        ([chain(http=[])], "chain local: http: Expected `array` of length >= 1"),
        ([chain(http=["ftp://x"])], "chain local: http: 'ftp://x' begins with neither"),
        ([chain(ws="http://x")], "chain local: ws: 'http://x' begins with neither"),
        ([chain(name="Local!")], "chain Local!: name: Expected `str` matching regex"),
        ([chain(), chain(id=6)], "two chains with the name local"),
        ([chain(), chain(name="other")], "two chains with the id 5"),
        ([{"id": 5}], "chain number 1: Object missing required field `name`"),
        (["local"], "chain number 1: Expected `object`, got `str`"),
        ([chain(colour="red")], "chain local: Object contains unknown field `colour`"),
        ([contract(address="0x12")], r"chain local: contracts\[0\].address: Expected `str` match"),
        ([contract(start_block=-1)], r"chain local: contracts\[0\].start_block: Expected `int`"),
        ([chain(contracts=[{"address": AMM}, {"address": AMM.lower()}])], "is there twice"),
        ([], "there has to be a list `chains`"),
    ],
)
def test_what_is_wrong_is_refused_by_chain_and_field(chains, message):
    with pytest.raises(ConfigError, match=message):
        read(*chains)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "pool"}, "kind: there is no 'pool'; there are events, credential-factory"),
        ({}, "abi: missing"),
        ({"abi": "none.json"}, "abi: none.json cannot be read"),
        ({"abi": "empty.json"}, "abi: empty.json has no event"),
        ({"abi": "number.json"}, "abi: number.json holds no list"),
        ({"kind": "dao", "abi": "AgriDAO"}, "kind: dao has its own abi"),
        (
            {"abi": "AgriDAOFactory", "children": [{"event": "Made", "argument": "dao"}]},
            "children: the abi has no event Made",
        ),
        (
            {"abi": "AgriDAOFactory", "children": [{"event": "DAOCreated", "argument": "x"}]},
            "children: DAOCreated has no argument x",
        ),
        (
            {
                "abi": "AgriDAOFactory",
                "children": [{"event": "DAOCreated", "argument": "dao", "kind": "pool"}],
            },
            "kind: there is no 'pool'",
        ),
    ],
)
def test_a_contract_that_cannot_be_followed_is_refused_by_its_address(tmp_path, fields, message):
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "number.json").write_text("5")
    [config] = read(contract(**fields))
    with pytest.raises(ConfigError, match=f"chain local: contract {AMM}: {message}"):
        watch_of(config, tmp_path)


def test_a_contract_may_bring_its_abi_and_what_it_makes(tmp_path):
    abi = {
        "abi": [{"type": "event", "name": "Made", "inputs": [{"name": "it", "type": "address"}]}]
    }
    abi["abi"][0]["inputs"][0]["indexed"] = False
    (tmp_path / "maker.json").write_text(json.dumps(abi))
    children = [{"event": "Made", "argument": "it", "abi": "AgriDAO"}]
    [config] = read(contract(abi="maker.json", stream=["it"], children=children))
    watch = watch_of(config, tmp_path)
    assert watch.factories == [AMM.lower()]
    watch.add("0x" + "77" * 20, "events:AgriDAO", 5)
    assert watch.kind_of("0x" + "77" * 20).events.topics


@pytest.mark.parametrize("text", ["chains = [", "chains = 5", "[[chain]]", "chains = []\nx = 1"])
def test_what_is_no_such_file_is_refused(tmp_path, text):
    path = tmp_path / "chains.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"CHAINTIDE_CHAINS=.*chains.toml: "):
        read_chains(path)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"CHAINTIDE_CHAINS=.*none.toml cannot be read: No such"):
        read_chains(tmp_path / "none.toml")


def test_what_factories_make_is_of_a_known_kind():
    kinds = known_kinds()
    made = {factory.kind for kind in kinds.values() for factory in kind.factories}
    assert made == {"erc20", "dao", "uniswap-v2-pair", "uniswap-v3-pool"}
    assert made <= set(kinds)


@pytest.mark.parametrize(
    ("number", "told", "wanted"),
    [
        (1, {}, True),
        (8453, {}, False),
        (1, {"has_receipts": False}, False),
        (8453, {"has_receipts": True}, True),
    ],
)
def test_whether_receipts_are_checked_goes_by_the_chain_if_nobody_says(number, told, wanted):
    [config] = chains_of(json.dumps({"chains": [chain(id=number, **told)]}), is_json=True)
    around = Surroundings(
        kafka=KafkaConfig(bootstrap=""), partitions=1, home=Path(), now_ms=lambda: 0
    )
    assert Following(config, around).rules.has_receipts is wanted


def test_a_depth_that_the_window_cannot_hold_is_refused():
    told = json.dumps({"chains": [chain(finality_depth=20_000)]})
    with pytest.raises(ConfigError, match="finality_depth"):
        chains_of(told, is_json=True)
