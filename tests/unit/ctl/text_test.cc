// What the commands print.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "support.h"

namespace pycds::ctl {
namespace {

TEST(JsonWriter, NestsAndSeparates) {
    JsonWriter json;
    json.begin_object().field("a", 1U).key("b").begin_array().value("x").value(true).end_array();
    json.key("c").begin_array().end_array().key("d").begin_object().end_object().end_object();
    EXPECT_EQ(json.text(),
              "{\n  \"a\": 1,\n  \"b\": [\n    \"x\",\n    true\n  ],\n  \"c\": [],\n  \"d\": "
              "{}\n}\n");
    EXPECT_TRUE(is_json(json.text()));
}

TEST(JsonWriter, AnyImageInfoIsJson) {
    wire::ImageInfo image;
    image.id = "quote\" back\\slash \x01 \xff new\nline";
    image.domain = wire::Domain::kUser;
    image.size = ~uint64_t{0};
    JsonWriter json;
    json.begin_array();
    write_json(json, image);
    write_json(json, wire::ImageInfo{});
    json.end_array();
    EXPECT_TRUE(is_json(json.text())) << json.text();
}

TEST(Table, AlignsColumns) {
    Table table({{"NAME", Table::Align::kLeft}, {"N", Table::Align::kRight}});
    table.add({"a", "1"});
    table.add({"l\xc3\xa4nger", "1000"});
    table.add({"short"});
    EXPECT_EQ(table.text(), "NAME       N\na          1\nl\xc3\xa4nger  1000\nshort\n");
}

TEST(Table, CellsCannotControlTheTerminal) {
    Table table({{"NAME", Table::Align::kLeft}, {"N", Table::Align::kRight}});
    table.add({"\x1b[2J\n", "1"});
    EXPECT_EQ(table.text(), "NAME         N\n\\x1b[2J\\x0a  1\n");
}

TEST(Progress, DrawsWhatFits) {
    EXPECT_EQ(progress_line("building", 5, 10, 3, 80),
              "building [###############---------------] 5/10 3 s");
    EXPECT_EQ(progress_line("building", 20, 10, 3, 80),
              "building [##############################] 10/10 3 s");
    EXPECT_EQ(progress_line("looking", 0, 0, 1, 80), "looking 1 s");
    EXPECT_EQ(progress_line("looking", 0, 0, 1, 4), "look");
}

TEST(Progress, SilentWithoutATerminal) {
    testing::internal::CaptureStderr();
    {
        Progress progress;
        progress.set("working", 1, 2);
    }
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Text, Durations) {
    EXPECT_EQ(duration_text(0), "0 ms");
    EXPECT_EQ(duration_text(999), "999 ms");
    EXPECT_EQ(duration_text(4200), "4.2 s");
    EXPECT_EQ(duration_text(60'000), "1 min");
    EXPECT_EQ(duration_text(7'200'000), "2 h");
    EXPECT_EQ(duration_text(200'000'000), "2 d");
    EXPECT_EQ(age_text(~uint64_t{0}), "0 ms");
}

}  // namespace
}  // namespace pycds::ctl
