// What the daemon keeps of the words of a builder.
#include <gtest/gtest.h>

#include "daemon/build/report_reader.h"
#include "daemon/build/tail_buffer.h"

namespace pycds::build {
namespace {

using Progress = std::vector<std::pair<uint32_t, uint32_t>>;

TEST(ReportReader, TakesLinesHoweverTheyArrive) {
    const std::string report = "progress 1 10\nhello\nprogress 2 10\nerror first\nerror last\n";
    for (size_t chunk = 1; chunk <= report.size(); ++chunk) {
        Progress progress;
        ReportReader reader(
            [&](uint32_t done, uint32_t total) { progress.emplace_back(done, total); });
        for (size_t at = 0; at < report.size(); at += chunk) {
            reader.feed(std::string_view(report).substr(at, chunk));
        }
        EXPECT_EQ(progress, (Progress{{1, 10}, {2, 10}}));
        EXPECT_EQ(reader.error(), "last");
    }
}

TEST(ReportReader, IgnoresWhatIsNoProgress) {
    int calls = 0;
    ReportReader reader([&](uint32_t, uint32_t) { ++calls; });
    reader.feed(
        "progress\nprogress \nprogress 1\nprogress 1 \nprogress -1 2\nprogress 1 2 3\n"
        "progress 99999999999 1\nprogress a b\n PROGRESS 1 2\nprogress 1 2");
    EXPECT_EQ(calls, 0);
    reader.feed("\n");
    EXPECT_EQ(calls, 1);
}

TEST(ReportReader, KeepsNoMoreThanALine) {
    ReportReader reader([](uint32_t, uint32_t) {});
    reader.feed("error " + std::string(1 << 20, 'x') + "\n");
    EXPECT_EQ(reader.error().size() + 6, ReportReader::kMaxLine);
}

TEST(TailBuffer, KeepsTheEnd) {
    TailBuffer tail(10);
    EXPECT_EQ(tail.last_line(), "");
    tail.feed("Traceback\n  File\nValueError: x\n\n");
    EXPECT_EQ(tail.last_line(), "Error: x");
    tail.feed("y\n");
    EXPECT_EQ(tail.last_line(), "y");
    tail.feed("\n\n\n\n\n\n\n\n\n\n\n\n");
    EXPECT_EQ(tail.last_line(), "");
}

}  // namespace
}  // namespace pycds::build
