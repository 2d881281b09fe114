"""The package changes that `plan` shows."""

from pipeline.policy.packages import package_changes


def test_added_removed_and_changed_packages_have_a_line_each():
    old = ["bash 5.2", "kernel 6.1", "kernel 6.2", "nano 7"]
    new = ["bash 5.2", "kernel 6.2", "kernel 6.3", "vim 9"]
    assert package_changes(old, new) == ["~ kernel 6.1, 6.2 -> 6.2, 6.3", "- nano 7", "+ vim 9"]


def test_equal_lists_in_any_order_show_nothing():
    assert package_changes(["b 1", "a 1"], ["a 1", "b 1"]) == []
