import gc

from chaintide.api.sockets.garbage import LEAST, NEVER, Garbage, seldom


def test_everything_is_searched_when_as_many_have_gone_as_are_here():
    garbage = Garbage()
    for _ in range(4 * LEAST):
        garbage.on_here()
    for _ in range(2 * LEAST - 1):
        garbage.on_gone()
    assert garbage.collections == 0
    garbage.on_gone()
    assert garbage.collections == 1


def test_few_who_come_and_go_make_no_pause():
    garbage = Garbage()
    for _ in range(LEAST - 1):
        garbage.on_here()
        garbage.on_gone()
    assert garbage.collections == 0
    garbage.on_here()
    garbage.on_gone()
    assert garbage.collections == 1


def test_what_gone_clients_left_in_circles_is_freed():
    garbage = Garbage()
    with garbage.collecting():
        circle: list[object] = []
        circle.append(circle)
        name = id(circle)
        del circle
        for _ in range(LEAST):
            garbage.on_here()
            garbage.on_gone()
        assert all(id(thing) != name for thing in gc.get_objects())


def test_python_collects_by_itself_again_afterwards():
    before = gc.get_threshold()
    with Garbage().collecting():
        assert gc.get_threshold()[2] == NEVER
    assert gc.get_threshold() == before


def test_a_server_searches_everything_more_seldom_while_it_serves():
    before = gc.get_threshold()
    with seldom():
        assert all(now >= then for now, then in zip(gc.get_threshold(), before, strict=True))
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
