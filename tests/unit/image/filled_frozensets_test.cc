// Frozensets that come with their tables: nobody but the validator looks at those before CPython does.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "src/common/image/object_layout.h"
#include "tests/fakes/image_walk.h"
#include "tests/unit/image/forge.h"

namespace pycds::image {
namespace {

using Kind = RegionKind;

// The frozenset of the first root has its table in it, the next one behind it.
Forge filled() {
    return Forge({.roots = 3, .filled_frozensets = true});
}

FrozensetRecord record(const Forge& f, uint64_t i) {
    return f.get<FrozensetRecord>(f.offset(Kind::kFrozensetLists) + i * sizeof(FrozensetRecord));
}

uint64_t object(const Forge& f, uint64_t i) {
    return 8 * uint64_t{record(f, i).object};
}

uint64_t entry(const Forge& f, uint64_t i, uint64_t number) {
    return 8 * uint64_t{record(f, i).elements} + 16 * number;
}

void edit_record(Forge& f, uint64_t i, const std::function<void(FrozensetRecord&)>& edit) {
    f.entry<FrozensetRecord>(Kind::kFrozensetLists, i, edit);
}

void add(Forge& f, uint64_t at, uint64_t amount) {
    f.edit_at<uint64_t>(at, [&](uint64_t& word) { word += amount; });
}

void unmark(Forge& f, uint64_t at) {
    f.mark(Kind::kPtrmapInternal, at, false);
    f.mark(Kind::kPtrmapExternal, at, false);
}

void point(Forge& f, uint64_t slot, uint64_t target) {
    f.set(slot, f.base() + target);
    f.mark_internal(slot);
}

// One key more, of hash -1 as the strings of tiny images have it, which no intern list speaks of.
uint64_t add_key(Forge& f, uint64_t i, uint64_t number, uint64_t target) {
    const uint64_t slot = entry(f, i, number);
    point(f, slot, target);
    f.set(slot + 8, ~uint64_t{0});
    edit_record(f, i, [](FrozensetRecord& r) { ++r.count; });
    add(f, object(f, i) + kSetFill, 1);
    add(f, object(f, i) + kSetFill + 8, 1);
    return slot;
}

TEST(FilledFrozensets, AreAccepted) {
    Forge f = filled();
    EXPECT_TRUE(f.validate_as_is().ok());
    EXPECT_EQ(fakes::walk_image(f.bytes), "");
    EXPECT_EQ(record(f, 0).table_size, kSetSmallTableSize);
    EXPECT_GT(record(f, 1).table_size, kSetSmallTableSize);
}

TEST(FilledFrozensets, MayHaveAnyNumberOfKeysButForOne) {
    Forge f = filled();
    for (const uint64_t free : {1, 3, 4, 5, 6}) add_key(f, 0, free, f.offset(Kind::kStrDoc));
    EXPECT_TRUE(f.validate().ok());
    EXPECT_EQ(fakes::walk_image(f.bytes), "");
}

TEST(FilledFrozensets, MayHaveKeysOfTheInterpreter) {
    Forge f = filled();
    const uint64_t slot = add_key(f, 1, 5, 0);
    unmark(f, slot);
    f.set(slot, f.external(ExternalKind::kSingleton, 0));
    f.mark_external(slot);
    EXPECT_TRUE(f.validate().ok());
    EXPECT_EQ(fakes::walk_image(f.bytes), "");
}

struct Case {
    const char* name;
    std::function<void(Forge&)> edit;
};

class BadFilledFrozenset : public testing::TestWithParam<Case> {};

TEST_P(BadFilledFrozenset, IsRefused) {
    Forge f = filled();
    GetParam().edit(f);
    EXPECT_EQ(f.validate().defect, Defect::kFrozensetEntry);
}

const Case kCases[] = {
    {"WithoutASeed",
     [](Forge& f) { f.identity([](InterpreterIdentity& identity) { identity.hash_probe = 0; }); }},
    {"SizeNoPowerOfTwo", [](Forge& f) { edit_record(f, 1, [](auto& r) { --r.table_size; }); }},
    {"SizeTooSmall", [](Forge& f) { edit_record(f, 0, [](auto& r) { r.table_size = 4; }); }},
    {"SizeHuge", [](Forge& f) { edit_record(f, 1, [](auto& r) { r.table_size = 1U << 31; }); }},
    {"SizeIntoTheNextObject", [](Forge& f) { edit_record(f, 1, [](auto& r) { r.table_size *= 2; }); }},
    {"SizeHalved", [](Forge& f) { edit_record(f, 1, [](auto& r) { r.table_size /= 2; }); }},
    {"NotFilled", [](Forge& f) { edit_record(f, 0, [](auto& r) { r.table_size = 0; }); }},
    {"TableOfAnother",
     [](Forge& f) {
         const uint32_t other = record(f, 2).elements;
         edit_record(f, 1, [&](auto& r) { r.elements = other; });
         point(f, object(f, 1) + kSetTable, 8 * uint64_t{other});
     }},
    {"SmallTableBehindIt",
     [](Forge& f) {
         edit_record(f, 1, [](auto& r) { r.table_size = kSetSmallTableSize; });
         f.set(object(f, 1) + kSetFill + 16, uint64_t{kSetSmallTableSize - 1});
     }},
    {"NoRoomToEnd",
     [](Forge& f) {
         for (const uint64_t free : {1, 3, 4, 5, 6, 7}) add_key(f, 0, free, f.offset(Kind::kStrDoc));
     }},
    {"Count", [](Forge& f) { edit_record(f, 0, [](auto& r) { ++r.count; }); }},
    {"Fill", [](Forge& f) { add(f, object(f, 0) + kSetFill, 1); }},
    {"Used", [](Forge& f) { add(f, object(f, 0) + kSetFill + 8, 1); }},
    {"Mask", [](Forge& f) { add(f, object(f, 1) + kSetFill + 16, 32); }},
    {"TablePointerUnmarked", [](Forge& f) { unmark(f, object(f, 0) + kSetTable); }},
    {"TablePointerElsewhere", [](Forge& f) { add(f, object(f, 1) + kSetTable, 16); }},
    {"Hash", [](Forge& f) { f.set(object(f, 0) + kSetTable + 8, uint64_t{5}); }},
    {"Finger", [](Forge& f) { f.set(object(f, 0) + kSetTable + 16, uint64_t{5}); }},
    {"Weakrefs", [](Forge& f) { f.set(object(f, 1) + kSetWeakrefs, uint64_t{8}); }},
    {"SomethingInTheTableThatIsNotUsed",
     [](Forge& f) { f.set(object(f, 1) + kSetSmallTable, uint64_t{5}); }},
    {"KeyUnmarked", [](Forge& f) { unmark(f, add_key(f, 0, 4, f.offset(Kind::kStrDoc))); }},
    {"HashOfAString", [](Forge& f) { f.set(entry(f, 1, 2) + 8, uint64_t{5}); }},
    {"HashWithoutKey", [](Forge& f) { f.set(entry(f, 1, 1) + 8, uint64_t{5}); }},
    {"HashThatIsAPointer",
     [](Forge& f) { point(f, entry(f, 1, 2) + 8, f.get<uint64_t>(entry(f, 1, 2)) - f.base()); }},
    {"KeyIsAFrozenset", [](Forge& f) { add_key(f, 1, 5, object(f, 0)); }},
    {"KeyIsCode", [](Forge& f) { add_key(f, 1, 5, f.offset(Kind::kCodeFunctions)); }},
};

INSTANTIATE_TEST_SUITE_P(Image, BadFilledFrozenset, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(FilledFrozensets, WhateverIsAcceptedIsSafeToWalk) {
    const Forge whole = filled();
    for (uint64_t i = 0; i < 2; ++i) {
        const uint64_t end = i == 0 ? object(whole, 1) : object(whole, 2);
        for (uint64_t word = object(whole, i) + 16; word < end; word += 8) {
            for (const uint64_t amount : {uint64_t{1}, uint64_t{8}, uint64_t{1} << 40, ~uint64_t{0}}) {
                Forge f = whole;
                add(f, word, amount);
                if (f.validate().ok()) {
                    EXPECT_EQ(fakes::walk_image(f.bytes), "") << word;
                }
            }
        }
    }
}

}  // namespace
}  // namespace pycds::image
