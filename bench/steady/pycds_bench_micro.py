"""Micro cases of steady state: each a loop over one thing that interning, archived code or written
caches could make slower. Runs once from the image and once beside it (bench/steady.py)."""
import pycds_bench_targets as targets


class LocalNode(targets.Node):
    """The attributes are set here, an inherited method from the image reads them."""

    def __init__(self):
        self.left_value = 1
        self.right_value = 2
        self.sum_of_both = 0


class LocalWide:
    def __init__(self):
        for number in range(40):
            setattr(self, "local_%02d" % number, 0)


def attr_with_hint_load(count):
    wide = targets.Wide()
    for _ in range(count):
        wide.wide_03, wide.wide_12, wide.wide_25, wide.wide_33, wide.wide_39


def attr_with_hint_store(count):
    wide = targets.Wide()
    for _ in range(count):
        wide.wide_03 = wide.wide_12 = wide.wide_25 = wide.wide_33 = wide.wide_39 = 1


def attr_with_hint_setattr(count):
    wide = LocalWide()
    for _ in range(count):
        wide.local_03, wide.local_12, wide.local_25, wide.local_33, wide.local_39


def keywords_to_archived(count):
    call = targets.keyword_sum
    for _ in range(count):
        call(alpha=1, beta=2, gamma=3)
        call(1, beta=2, delta_scale=4, epsilon_offset=5)


def keywords_to_archived_init(count):
    node = targets.Node
    for _ in range(count):
        node(left_value=3, right_value=4)


def attrs_of_archived_read(count):
    node = targets.Node()
    for _ in range(count):
        node.left_value, node.right_value, node.sum_of_both, node.kind


def attrs_of_archived_write(count):
    node = targets.Node()
    for _ in range(count):
        node.left_value = node.right_value = node.sum_of_both = 1


def methods_of_archived(count):
    node = targets.Node()
    for _ in range(count):
        node.add()
        node.doubled


def slots_of_archived(count):
    slotted = targets.Slotted()
    for _ in range(count):
        slotted.left_slot = slotted.right_slot
        slotted.right_slot = slotted.left_slot


def self_attrs(count):
    targets.Node().spin(count)


def self_attrs_of_subclass(count):
    LocalNode().spin(count)


def builtin_methods(count):
    text, numbers, table = "some words here", [], {"key": 1}
    for _ in range(count):
        text.startswith("some")
        text.replace("words", "more")
        numbers.append(1)
        table.get("key")
        numbers.pop()


def star_star_keywords(count):
    keywords = {"alpha": 1, "beta": 2, "gamma": 3}
    for _ in range(count):
        targets.forward(**keywords)
        targets.take_keywords(first_word=1, second_word=2)


def keywords_to_c(count):
    numbers = [3, 1, 2]
    for _ in range(count):
        sorted(numbers, reverse=True)
        int("17", base=16)
        "a b".encode(encoding="utf-8", errors="strict")


def dict_literals(count):
    for _ in range(count):
        {"alpha": 1, "beta": 2, "gamma": 3, "delta": 4}["gamma"]


def keys_of_archived_dict(count):
    fields = targets.names_of_fields()
    for _ in range(count):
        fields["first_field"], fields["third_field"]
        fields["second_field"] = "fourth_field" in fields


def module_attrs(count):
    for _ in range(count):
        targets.CONSTANT, targets.keyword_sum, targets.Node, targets.CONSTANT


def getattr_by_name(count):
    node = targets.Node()
    for _ in range(count):
        getattr(node, "left_value")
        getattr(node, "no_such_attribute", None)
        hasattr(node, "sum_of_both")


def class_definition(count):
    for _ in range(count):
        class Defined(targets.Node):
            kind = "defined"

            def left(self):
                return self.left_value

            def right(self):
                return self.right_value


def string_constants(count):
    kind = targets.Node.kind
    for _ in range(count):
        kind == "node"
        kind == "edge"
        kind in ("edge", "face", "node")


# How often a loop goes round: a few milliseconds.
CASES = {function.__name__: (function, count) for function, count in (
    (attr_with_hint_load, 60000), (attr_with_hint_store, 60000), (attr_with_hint_setattr, 60000),
    (keywords_to_archived, 45000), (keywords_to_archived_init, 36000),
    (attrs_of_archived_read, 90000), (attrs_of_archived_write, 90000),
    (methods_of_archived, 60000), (slots_of_archived, 90000),
    (self_attrs, 45000), (self_attrs_of_subclass, 45000), (builtin_methods, 30000),
    (star_star_keywords, 24000), (keywords_to_c, 18000), (dict_literals, 60000),
    (keys_of_archived_dict, 60000), (module_attrs, 90000), (getattr_by_name, 45000),
    (class_definition, 450), (string_constants, 90000),
)}
