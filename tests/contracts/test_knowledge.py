"""Knowledge for sale: each event, each refusal, and any purchase."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localchain import account, refused, running_chain

AUTHOR, BUYER = account(1), account(2)
CONTENT = b"\x0d" * 32
PURSE = 10**12
PRICE, SUPPLY = 3 * 10**6, 100


class Shop:
    def __init__(self, chain) -> None:
        self.chain = chain
        self.usdc = chain.deploy("MockUsdc")
        self.tokens = chain.deploy("KnowledgeTokens", self.usdc.address)
        chain.act(BUYER, self.usdc, "mint", BUYER, PURSE)
        chain.act(BUYER, self.usdc, "approve", self.tokens.address, 2**256 - 1)
        chain.remember()

    def offering(self, price=PRICE, supply=SUPPLY):
        self.chain.rewind()
        call = (CONTENT, "ipfs://rotation", price, supply)
        self.said = self.act(AUTHOR, "mintKnowledge", *call)
        return self

    def act(self, person, function, *arguments):
        said = self.chain.act(person, self.tokens, function, *arguments)
        return {each.name: dict(each.arguments) for each in said}

    def copies(self):
        return self.chain.read(self.tokens, "balanceOf", BUYER, 1)

    def money(self, holder):
        return self.chain.read(self.usdc, "balanceOf", holder)


@pytest.fixture(scope="module")
def live():
    with running_chain() as chain:
        yield Shop(chain)


@pytest.fixture
def shop(live):
    return live.offering()


def test_an_offer_says_what_it_is_and_what_it_costs(shop):
    assert shop.said["KnowledgeTokenMinted"] == {
        "tokenId": 1,
        "author": AUTHOR,
        "contentHash": CONTENT,
        "price": PRICE,
        "supply": SUPPLY,
    }
    assert shop.chain.read(shop.tokens, "uri", 1) == "ipfs://rotation"
    assert shop.chain.read(shop.tokens, "tokenOf", CONTENT) == 1


def test_an_offer_needs_content_that_is_new_and_a_copy(shop):
    with refused("EmptyContent"):
        shop.act(AUTHOR, "mintKnowledge", bytes(32), "", PRICE, SUPPLY)
    with refused("ZeroAmount"):
        shop.act(AUTHOR, "mintKnowledge", b"\x0e" * 32, "", PRICE, 0)
    with refused("ContentExists", contentHash=CONTENT, tokenId=1):
        shop.act(BUYER, "mintKnowledge", CONTENT, "", PRICE, SUPPLY)


def test_a_purchase_pays_the_author_and_makes_the_copies(shop):
    said = shop.act(BUYER, "buy", 1, 2, 2 * PRICE)
    bought = {"tokenId": 1, "buyer": BUYER, "amount": 2, "cost": 2 * PRICE}
    assert said["KnowledgePurchased"] == bought
    assert said["TransferSingle"]["value"] == shop.copies() == 2
    assert (shop.money(AUTHOR), shop.money(BUYER)) == (2 * PRICE, PURSE - 2 * PRICE)
    assert shop.money(shop.tokens.address) == 0


def test_only_the_author_changes_the_price_and_a_buyer_says_how_much_at_most(shop):
    with refused("NotAuthor", tokenId=1, caller=BUYER):
        shop.act(BUYER, "setPrice", 1, 0)
    assert shop.act(AUTHOR, "setPrice", 1, 5) == {"PriceChanged": {"tokenId": 1, "price": 5}}
    with refused("CostExceeded", cost=10, maxCost=9):
        shop.act(BUYER, "buy", 1, 2, 9)


def test_what_is_not_there_cannot_be_had(shop):
    for call in (("buy", 2, 1, 0), ("setPrice", 2, 1), ("uri", 2)):
        with refused("UnknownToken", tokenId=2):
            shop.act(AUTHOR, *call)
    with refused("ZeroAmount"):
        shop.act(BUYER, "buy", 1, 0, PRICE)
    shop.act(BUYER, "buy", 1, SUPPLY - 1, PURSE)
    with refused("SoldOut", tokenId=1, remaining=1):
        shop.act(BUYER, "buy", 1, 2, PURSE)


PRICES = st.sampled_from([0, 1, PURSE, 2**96 - 1]) | st.integers(0, PURSE)
COPIES = st.sampled_from([1, 2**128 - 1]) | st.integers(1, 1000)


@settings(max_examples=40)
@given(price=PRICES, supply=COPIES, amount=COPIES)
def test_any_purchase_costs_its_price_or_is_refused(live, price, supply, amount):
    shop = live.offering(price, supply)
    call = (BUYER, "buy", 1, amount, 2**256 - 1)
    if amount > supply:
        with refused("SoldOut", tokenId=1, remaining=supply):
            shop.act(*call)
    elif price * amount > PURSE:
        with refused("ERC20InsufficientBalance"):
            shop.act(*call)
    else:
        shop.act(*call)
        assert shop.copies() == amount
        assert PURSE - shop.money(BUYER) == shop.money(AUTHOR) == price * amount
