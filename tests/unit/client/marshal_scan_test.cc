// client/builder/marshal_scan.h: streams that marshal.dumps writes, and streams that nobody should.
#include "client/builder/marshal_scan.h"

#include <gtest/gtest.h>

#include <string>

namespace pycds::builder {
namespace {

// Python 3.11 and later; 3.9 and 3.10.
constexpr MarshalledCode kCode{5, 8, 2};
constexpr MarshalledCode kOldCode{6, 8, 1};

MarshalScan scan(const std::string& text, const MarshalledCode& code = kCode) {
    return scan_marshal({reinterpret_cast<const unsigned char*>(text.data()), text.size()}, code);
}

std::string u32(uint32_t value) {
    std::string out;
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
    return out;
}

std::string short_ascii(const std::string& text) {
    return std::string("z") + static_cast<char>(text.size()) + text;
}

// A code object with these constants, as Python 3.11 and later write it.
std::string code(const std::string& consts) {
    std::string out = "c" + u32(0) + u32(0) + u32(0) + u32(1) + u32(0);
    out += "s" + u32(2) + "ab";                                  // bytecode
    out += consts;
    out += std::string(")\0", 2) + std::string(")\0", 2);        // names, localsplusnames
    out += "s" + u32(0);                                         // localspluskinds
    out += short_ascii("f") + short_ascii("n") + short_ascii("q");
    out += u32(1);                                               // first line
    out += "s" + u32(0) + "s" + u32(0);                          // line table, exception table
    return out;
}

// The same as 3.9 and 3.10 write it.
std::string old_code(const std::string& consts) {
    std::string out = "c" + u32(0) + u32(0) + u32(0) + u32(0) + u32(1) + u32(0);
    out += "s" + u32(2) + "ab";  // bytecode
    out += consts;
    for (int i = 0; i < 4; ++i) out += std::string(")\0", 2);  // names, varnames, freevars, cellvars
    out += short_ascii("f") + short_ascii("n");
    out += u32(1);          // first line
    out += "s" + u32(0);    // line table
    return out;
}

TEST(MarshalScan, KnowsTheCodeOfEachVersion) {
    const std::string set = ">" + u32(1) + short_ascii("a");
    const std::string old = old_code(")\x02" + old_code(")\x01" + set) + "N");
    const MarshalScan result = scan(old, kOldCode);
    ASSERT_TRUE(result.ok);
    ASSERT_EQ(result.frozensets.size(), 1U);
    EXPECT_EQ(old[result.frozensets[0]], '>');
    for (size_t cut = 0; cut < old.size(); ++cut) {
        EXPECT_FALSE(scan(old.substr(0, cut), kOldCode).ok) << "cut at " << cut;
    }
    EXPECT_FALSE(scan(old).ok);
}

TEST(MarshalScan, ScalarsAreWhole) {
    const std::string values[] = {
        "N", "T", "F", ".", "S", "i" + u32(7), "l" + u32(3) + "aabbcc",
        "l" + u32(static_cast<uint32_t>(-2)) + "aabb", std::string("g") + std::string(8, 'x'),
        std::string("y") + std::string(16, 'x'), "u" + u32(3) + "abc", "Z\x02xy",
        "a" + u32(1) + "x", "A" + u32(1) + "x", "t" + u32(1) + "x", "f\x03" "1.5",
        "x\x01" "1\x01" "2", "r" + u32(0), ":NNi" + u32(2)};
    for (const std::string& value : values) {
        EXPECT_TRUE(scan(value).ok) << value[0];
        for (size_t cut = 0; cut < value.size(); ++cut) {
            EXPECT_FALSE(scan(value.substr(0, cut)).ok) << value[0] << " cut at " << cut;
        }
    }
}

TEST(MarshalScan, FindsFrozensetsInConstantsOfConstants) {
    const std::string set = ">" + u32(2) + short_ascii("a") + short_ascii("b");
    const std::string inner = code(")\x01" + set);
    const std::string flagged = std::string(1, static_cast<char>('>' | 0x80)) + u32(0);
    const std::string outer = code(")\x03" + inner + flagged + "(" + u32(1) + set);
    const MarshalScan result = scan(outer);
    ASSERT_TRUE(result.ok);
    EXPECT_FALSE(result.nested_frozenset);
    ASSERT_EQ(result.frozensets.size(), 3U);
    for (const size_t at : result.frozensets) EXPECT_EQ(outer[at] & 0x7f, '>');
}

TEST(MarshalScan, FindsFrozensetsBesideAndInSlices) {
    const std::string set = ">" + u32(1) + "N";
    const std::string flagged(1, static_cast<char>(':' | 0x80));
    const MarshalScan result = scan(")\x03:NNN" + set + flagged + "N" + set + "N");
    ASSERT_TRUE(result.ok);
    EXPECT_EQ(result.frozensets.size(), 2U);
    EXPECT_FALSE(result.nested_frozenset);
}

TEST(MarshalScan, TellsNestedFrozensets) {
    const std::string inner = ">" + u32(1) + "N";
    EXPECT_TRUE(scan(">" + u32(1) + inner).nested_frozenset);
    EXPECT_TRUE(scan(">" + u32(1) + ")\x01" + inner).nested_frozenset);
    EXPECT_FALSE(scan(")\x02" + inner + inner).nested_frozenset);
}

TEST(MarshalScan, TellsWhatIsNestedTooDeep) {
    const auto nested = [](size_t depth) {
        std::string text;
        for (size_t i = 0; i < depth; ++i) text += ")\x01";
        return scan(text + "N");
    };
    EXPECT_TRUE(nested(240).ok);
    EXPECT_FALSE(nested(240).too_deep);
    EXPECT_TRUE(nested(241).ok);
    EXPECT_TRUE(nested(241).too_deep);
}

TEST(MarshalScan, DictsEndAtNull) {
    EXPECT_TRUE(scan("{" + short_ascii("k") + "N" + "0").ok);
    EXPECT_FALSE(scan("{" + short_ascii("k") + "N").ok);
}

TEST(MarshalScan, EveryTruncationOfACodeObjectIsRefused) {
    const std::string whole = code(")\x01" + (">" + u32(1) + "N"));
    ASSERT_TRUE(scan(whole).ok);
    for (size_t cut = 0; cut < whole.size(); ++cut) {
        EXPECT_FALSE(scan(whole.substr(0, cut)).ok) << cut;
    }
    EXPECT_TRUE(scan(whole + "rest").ok);
}

TEST(MarshalScan, SizesThatLieAreRefused) {
    EXPECT_FALSE(scan("s" + u32(0xffffffff) + "x").ok);
    EXPECT_FALSE(scan("(" + u32(0x7fffffff) + "N").ok);
    EXPECT_FALSE(scan("l" + u32(0x80000000) + "xx").ok);
    EXPECT_FALSE(scan("0").ok);
    EXPECT_FALSE(scan("?").ok);
    EXPECT_FALSE(scan("").ok);
}

TEST(MarshalScan, DepthIsBounded) {
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += ")\x01";
    EXPECT_FALSE(scan(deep + "N").ok);
}

}  // namespace
}  // namespace pycds::builder
