"""Methods by name, and the options in such a name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenograph.errors import GuidanceError
from scenograph.painting.guidance import METHODS, Backprop, Langevin, Window, base_of, method, name_of
from scenograph.painting.guidance.layout_control import naef_backprop


def test_options_stand_behind_the_name() -> None:
    adaptive = method("naef+adaptive:r=0.1:O=2:guided=5:score=cfg:rho=[4, 1]")
    assert adaptive == method("winwinlay", ratio=0.1, iterations=2, window=Window(steps=5), score="cfg", rho=(4, 1))
    assert adaptive is not None and adaptive.update == Langevin(ratio=0.1, iterations=2, score="cfg")
    backprop = method("aef+backprop:eta=10:threshold=null:guided=5")
    assert backprop is not None and backprop.update == Backprop(eta=10, threshold=None)
    shallow, published = method("winwinlay:layers=mid_block"), method("winwinlay:layers=null")
    assert shallow == method("winwinlay", layers=("mid_block",)) and published == method("winwinlay")
    later = method("winwinlay:guided=[5,25]")
    assert later is not None and later.window == Window(start=5, steps=20)
    assert base_of("aef+backprop:eta=10") == base_of("aef+backprop") == "aef+backprop"


def test_what_is_asked_for_in_code_goes_first() -> None:
    assert method("winwinlay:r=0.1", ratio=0.3) == method("winwinlay", ratio=0.3)


def test_a_guidance_knows_the_name_that_makes_it_again() -> None:
    spelled = ("winwinlay", "winwinlay:r=0.1:guided=[5,25]", "aef+backprop:eta=10:threshold=null:layers=mid_block")
    for name in spelled:
        guidance = method(name)
        assert guidance is not None and name_of(guidance) == name
    optioned = method("winwinlay:r=0.1", ratio=0.3, rho=(4, 1), score="cfg", lam=None)
    assert optioned is not None
    assert name_of(optioned) == 'winwinlay:r=0.1:r=0.3:rho=[4, 1]:score="cfg":lam=null'
    assert name_of(replace(optioned, scale=2.0)) is None
    assert name_of(naef_backprop()) == "naef+backprop"


def test_without_options_every_method_is_its_published_self() -> None:
    for name, make in METHODS.items():
        assert method(name) == (make() if make else None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("winwin:r=1", "unknown method 'winwin'; known: plain, winwinlay"),
        ("winwinlay:magic=1", "winwinlay has no option 'magic'; it has guided, layers, scale, .*O, r, nu"),
        ("aef+backprop:r=0.1", "aef.backprop has no option 'r'"),
        ("plain:guided=3", "plain has no option 'guided'; it has none"),
        ("winwinlay:r", "cannot take 'r'; expected something like r=0.06"),
        ("winwinlay:r=much", "cannot take 'r=much'; expected something like r=0.06"),
        ("winwinlay:r=true", "cannot take 'r=true'"),
        ("winwinlay:r=null", "cannot take 'r=null'"),
        ("winwinlay:O=2.5", "cannot take 'O=2.5'; expected something like O=4"),
        ("winwinlay:guided=2.5", "cannot take 'guided=2.5'; expected something like guided=10"),
        ("winwinlay:guided=0", "window needs steps >= 1"),
        ("winwinlay:guided=[5]", r"cannot take 'guided=\[5\]'; expected something like guided=\[5, 25\]"),
        ("winwinlay:guided=[5,5]", "window needs steps >= 1"),
        ("winwinlay:rho=[1]", r"cannot take 'rho=\[1\]'; expected something like rho=\[5.0, 0.0\]"),
        ("winwinlay:lam=[1]", r"cannot take 'lam=\[1\]'; expected something like lam=2.0"),
        ("winwinlay:lam=-1", "lam is -1; expected a number from 0"),
        ("winwinlay:rho=[5,-1]", "rho is -1; expected a number from 0"),
        ("winwinlay:layers=5", r"cannot take 'layers=5'; expected something like layers=\["),
        ("winwinlay:layers=[]", r"cannot take 'layers=\[\]'"),
        ('winwinlay:layers=["mid_block",1]', "cannot take 'layers="),
        ("winwinlay:O=0", "iterations is 0; expected a number from 1"),
        ("winwinlay:r=-0.1", "ratio is -0.1; expected a number from 0"),
        ("layout-control:eta=-3", "eta is -3; expected a number from 0"),
        ("layout-control:eta=1e999", "eta is inf; expected a number from 0"),
        ("winwinlay:score=best", "score is one of conditional, unconditional, cfg"),
    ],
)
def test_bad_names(name: str, message: str) -> None:
    with pytest.raises(GuidanceError, match=message):
        method(name)
