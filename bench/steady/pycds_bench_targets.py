"""What the micro cases call and touch: a module that is always in the image.

Copied into a temporary directory and compiled there (bench/steady.py), because whoever measures
must be able to put it into an image and leave its caller out.
"""

CONSTANT = 17


def keyword_sum(alpha, beta, gamma=3, *, delta_scale=4, epsilon_offset=5):
    return alpha + beta + gamma + delta_scale + epsilon_offset


def take_keywords(**keywords):
    return keywords


def forward(**keywords):
    return keyword_sum(**keywords)


def names_of_fields():
    return {"first_field": 1, "second_field": 2, "third_field": 3, "fourth_field": 4}


class Node:
    """An ordinary class: few attributes, so that its instances share their keys."""

    kind = "node"

    def __init__(self, left_value=1, right_value=2):
        self.left_value = left_value
        self.right_value = right_value
        self.sum_of_both = 0

    def add(self):
        self.sum_of_both = self.left_value + self.right_value
        return self.sum_of_both

    def spin(self, count):
        for _ in range(count):
            self.sum_of_both = self.left_value + self.right_value
            self.left_value = self.sum_of_both - self.right_value
            self.add()

    @property
    def doubled(self):
        return self.left_value * 2


class Slotted:
    __slots__ = ("left_slot", "right_slot")

    def __init__(self):
        self.left_slot = 1
        self.right_slot = 2


class Wide:
    """More attributes than CPython lets instances share keys for: the dict that makes it use
    LOAD_ATTR_WITH_HINT and STORE_ATTR_WITH_HINT, which compare names by address."""

    def __init__(self):
        self.wide_00 = self.wide_01 = self.wide_02 = self.wide_03 = self.wide_04 = 0
        self.wide_05 = self.wide_06 = self.wide_07 = self.wide_08 = self.wide_09 = 0
        self.wide_10 = self.wide_11 = self.wide_12 = self.wide_13 = self.wide_14 = 0
        self.wide_15 = self.wide_16 = self.wide_17 = self.wide_18 = self.wide_19 = 0
        self.wide_20 = self.wide_21 = self.wide_22 = self.wide_23 = self.wide_24 = 0
        self.wide_25 = self.wide_26 = self.wide_27 = self.wide_28 = self.wide_29 = 0
        self.wide_30 = self.wide_31 = self.wide_32 = self.wide_33 = self.wide_34 = 0
        self.wide_35 = self.wide_36 = self.wide_37 = self.wide_38 = self.wide_39 = 0
