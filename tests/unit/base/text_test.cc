// Escaping of bytes from outside.
#include "src/common/base/text.h"

#include <gtest/gtest.h>

namespace pycds {
namespace {

TEST(Text, JsonKeepsWhatIsPlain) {
    EXPECT_EQ(json_string(""), R"("")");
    EXPECT_EQ(json_string("/usr/lib/x.py"), R"("/usr/lib/x.py")");
    EXPECT_EQ(json_string("é漢😀"), "\"é漢😀\"");
}

TEST(Text, JsonEscapesWhatItMust) {
    EXPECT_EQ(json_string("a\"b\\c"), R"("a\"b\\c")");
    EXPECT_EQ(json_string("\n\t\x1b\x7f"), R"("\u000a\u0009\u001b\u007f")");
    EXPECT_EQ(json_string(std::string_view("\0", 1)), R"("\u0000")");
    EXPECT_EQ(json_string("\xc2\x9b"), R"("\u009b")");  // C1 CSI
}

TEST(Text, JsonSurrogateEscapesWhatIsNoUtf8) {
    EXPECT_EQ(json_string("\xff"), R"("\udcff")");
    EXPECT_EQ(json_string("\xc3"), R"("\udcc3")");                                // cut short
    EXPECT_EQ(json_string("\xc3("), R"("\udcc3(")");                              // no continuation
    EXPECT_EQ(json_string("\xc0\xaf"), R"("\udcc0\udcaf")");                      // overlong
    EXPECT_EQ(json_string("\xe0\x80\xaf"), R"("\udce0\udc80\udcaf")");            // overlong
    EXPECT_EQ(json_string("\xed\xb3\xbf"), R"("\udced\udcb3\udcbf")");            // a surrogate
    EXPECT_EQ(json_string("\xf4\x90\x80\x80"), R"("\udcf4\udc90\udc80\udc80")");  // > U+10FFFF
    EXPECT_EQ(json_string("\xf4\x8f\xbf\xbf"), "\"\xf4\x8f\xbf\xbf\"");
}

TEST(Text, PrintableStaysOnOneLineAndIsUnambiguous) {
    EXPECT_EQ(printable("/a b/é.py"), "/a b/é.py");
    EXPECT_EQ(printable("a\nb\x1b[31m"), "a\\x0ab\\x1b[31m");
    EXPECT_EQ(printable("\\x0a"), "\\x5cx0a");
    EXPECT_EQ(printable("\xff\xc2\x9b"), "\\xff\\xc2\\x9b");
}

TEST(Text, Hex) {
    const uint8_t bytes[] = {0x00, 0x9F, 0xFF};
    EXPECT_EQ(hex(bytes, 3), "009fff");
    EXPECT_EQ(hex(bytes, 0), "");
}

TEST(Text, HumanSize) {
    EXPECT_EQ(human_size(0), "0 B");
    EXPECT_EQ(human_size(1023), "1023 B");
    EXPECT_EQ(human_size(1024), "1.0 KiB");
    EXPECT_EQ(human_size(1024 * 1024 - 1), "1.0 MiB");
    EXPECT_EQ(human_size(20 * 1024 * 1024 + 512 * 1024), "20.5 MiB");
    EXPECT_EQ(human_size(~uint64_t{0}), "16.0 EiB");
}

TEST(Text, ALineHasNoControlCharacters) {
    for (const char* good : {"", "a\tb", "caf\u00e9 \u20ac \U0001F40D"}) {
        EXPECT_TRUE(is_text_line(good)) << good;
    }
    for (const std::string_view bad :
         {std::string_view("a\0b", 3), std::string_view("a\nb"), std::string_view("\x1b[2J"),
          std::string_view("\xff"), std::string_view("\xc3"), std::string_view("\xed\xa0\x80"),
          std::string_view("\xc2\x85")}) {
        EXPECT_FALSE(is_text_line(bad)) << printable(bad);
    }
}

}  // namespace
}  // namespace pycds
