// What is counted and drawn of the pages of processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "ctl/pages/report.h"
#include "ctl/pages/svg.h"
#include "ctl/pages/text.h"
#include "support.h"
#include "tests/fakes/tiny_image.h"

namespace pycds::ctl {
namespace {

using testing::HasSubstr;
using testing::Not;

// One letter per page: a(bsent), s(hared), d(irty).
ProcessPages process(pid_t pid, const std::string& letters) {
    ProcessPages result{pid, {}};
    for (const char letter : letters) {
        result.states.push_back(letter == 'd'   ? PageState::kDirty
                                : letter == 's' ? PageState::kShared
                                                : PageState::kAbsent);
    }
    return result;
}

// A header, six pages of code of which three are hot, two of strings, a table, and an empty one.
PageReport report(std::vector<ProcessPages> processes) {
    return {"img-1",
            "3.13.5 (main) <GCC & co>",
            7,
            {{"header", false, 0, 1, 0, 1344},
             {"code-once", true, 1, 6, 3, 24000},
             {"str-doc", true, 7, 2, 0, 8192},
             {"roots", false, 9, 1, 0, 100},
             {"left-out", false, 10, 0, 0, 0}},
            std::move(processes)};
}

size_t occurrences(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

TEST(PageRegions, CoverEveryPageOnce) {
    const std::vector<std::byte> bytes = fakes::make_tiny_image();
    image::Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.regions[0].hot_size = image::kPageSize - 1;
    uint64_t next = 0;
    for (const PageRegion& region : page_regions(header)) {
        EXPECT_EQ(region.first, next) << region.kind;
        EXPECT_NE(region.kind, "padding");
        next += region.pages;
    }
    EXPECT_EQ(next, bytes.size() / image::kPageSize);
    const std::vector<PageRegion> regions = page_regions(header);
    ASSERT_EQ(regions.size(), header.region_count + 1U);
    EXPECT_EQ(regions[0].kind, "header");
    EXPECT_FALSE(regions[0].objects);
    EXPECT_EQ(regions[1].kind, "code-once");
    EXPECT_TRUE(regions[1].objects);
    EXPECT_EQ(regions[1].hot_pages, 1U);
    EXPECT_EQ(regions.back().kind, "patterns");
    EXPECT_FALSE(regions.back().objects);
}

TEST(PageRegions, NameWhatLiesBetween) {
    image::Header header{};
    header.prefix.image_size = 8 * image::kPageSize;
    header.region_count = 2;
    header.regions[0] = {image::RegionKind::kBytes, 0, 2 * image::kPageSize, 1, 0, 1};
    header.regions[1] = {image::RegionKind::kRoots, 0, 5 * image::kPageSize, 5000, 0, 1};
    std::vector<std::string> seen;
    for (const PageRegion& region : page_regions(header)) {
        seen.push_back(region.kind + " " + std::to_string(region.first) + " " +
                       std::to_string(region.pages));
    }
    EXPECT_THAT(seen, testing::ElementsAre("header 0 1", "padding 1 1", "bytes 2 1", "padding 3 2",
                                           "roots 5 2", "padding 7 1"));
}

TEST(PageCounts, AreOfARegionAndOfAll) {
    const PageReport one = report({process(5, "sdsaddadas")});
    const PageCounts code = count_pages(one.regions[1], one.processes[0]);
    EXPECT_EQ(code.pages, 6U);
    EXPECT_EQ(code.dirty, 3U);
    EXPECT_EQ(code.shared, 1U);
    EXPECT_EQ(code.absent, 2U);
    EXPECT_EQ(code.hot_pages, 3U);
    EXPECT_EQ(code.hot_dirty, 1U);
    const PageCounts all = count_pages(one, one.processes[0]);
    EXPECT_EQ(all.pages, 10U);
    EXPECT_EQ(all.dirty, 4U);
    EXPECT_EQ(all.hot_dirty, 1U);
}

TEST(PageCells, AreHotOrNot) {
    const PageReport two = report({process(5, "sdsaddadas"), process(6, "sddaaaaaas")});
    const std::vector<PageCell> cells = page_cells(two, two.regions[1], 2);
    ASSERT_EQ(cells.size(), 4U);  // 2 and 1 hot ones, 2 and 1 others
    EXPECT_EQ(cells[0].pages, 2U);
    EXPECT_TRUE(cells[0].hot);
    EXPECT_DOUBLE_EQ(cells[0].dirty, 0.75);
    EXPECT_EQ(cells[1].pages, 1U);
    EXPECT_TRUE(cells[1].hot);
    EXPECT_FALSE(cells[1].present);
    EXPECT_FALSE(cells[2].hot);
    EXPECT_DOUBLE_EQ(cells[2].dirty, 0.5);
    EXPECT_FALSE(cells[3].present);
}

TEST(PagesJson, HasCountsPerProcessAndRegion) {
    const std::string json =
        pages_json(report({process(5, "sdsaddadas"), process(6, "aaaaaaaaaa")}));
    EXPECT_TRUE(is_json(json)) << json;
    EXPECT_THAT(json, HasSubstr("\"image\": \"img-1\""));
    EXPECT_THAT(json, HasSubstr("\"page_size\": 4096"));
    EXPECT_THAT(json, HasSubstr("      \"pid\": 5,\n"
                                "      \"pages\": 10,\n"
                                "      \"dirty\": 4,\n"
                                "      \"shared\": 3,\n"
                                "      \"absent\": 3,\n"
                                "      \"hot_pages\": 3,\n"
                                "      \"hot_dirty\": 1,\n"
                                "      \"regions\": [\n"));
    EXPECT_THAT(json, HasSubstr("          \"kind\": \"code-once\",\n"
                                "          \"objects\": true,\n"
                                "          \"pages\": 6,\n"
                                "          \"dirty\": 3,\n"));
    EXPECT_EQ(occurrences(json, "\"kind\": \"roots\""), 2U);
}

TEST(PagesText, OfOneProcess) {
    EXPECT_EQ(pages_text(report({process(5, "sdsaddadas")}), {}),
              "image img-1 in process 5; a character is 1 page\n"
              "# dirty  - shared  . absent  | end of the hot part\n"
              "\n"
              "REGION            SIZE  PAGES  DIRTY  SHARED  ABSENT  HOT  HOT DIRTY\n"
              "header         1.3 KiB      1      0       1       0    -          -\n"
              "  -\n"
              "code-once     23.4 KiB      6      3       1       2    3          1\n"
              "  #-.|##.\n"
              "str-doc        8.0 KiB      2      1       0       1    0          0\n"
              "  #.\n"
              "roots            100 B      1      0       1       0    -          -\n"
              "  -\n"
              "left-out           0 B      0      0       0       0    -          -\n"
              "\n"
              "total         40.0 KiB     10      4       3       3    3          1\n"
              "total in KiB               40     16      12      12   12          4\n");
}

TEST(PagesText, OfSeveralProcesses) {
    const std::string text = pages_text(
        report({process(5, "sdsaddadas"), process(6, "sdasddadds"), process(7, "sdaaadaaas")}), {});
    EXPECT_THAT(text, HasSubstr("image img-1 in 3 processes; a character is 1 page of each; counts "
                                "are means, MOST is of one\n"));
    EXPECT_THAT(text, HasSubstr("* half or more dirty  + less than half dirty"));
    EXPECT_THAT(text, HasSubstr("code-once     23.4 KiB      6    2.7     3"));
    EXPECT_THAT(text, HasSubstr("\n  #--|*#.\n"));
    EXPECT_THAT(text, HasSubstr("\n  *+\n"));
    EXPECT_THAT(text, HasSubstr("\nPROCESS  DIRTY  SHARED  ABSENT\n"
                                "      5      4       3       3\n"
                                "      6      5       3       2\n"
                                "      7      2       2       6\n"));
}

TEST(PagesText, LargeRegionsTakeAFewLines) {
    PageReport large = report({process(5, std::string(1000, 'd'))});
    large.regions = {{"code-once", true, 0, 1000, 1000, 4096000}};
    const std::string text = pages_text(large, {40, false});
    EXPECT_THAT(text, HasSubstr("a character is 7 pages\n"));
    // 143 characters in lines of 37, and the mark of the hot part.
    const std::string full = "  " + std::string(37, '#') + "\n";
    EXPECT_EQ(occurrences(text, full), 3U);
    EXPECT_THAT(text, HasSubstr(full + "  " + std::string(32, '#') + "|\n"));
}

TEST(PagesText, TheEndOfTheHotPartIsNotALineOfItsOwn) {
    PageReport full = report({process(5, std::string(37, 's'))});
    full.regions = {{"code-once", true, 0, 37, 37, 4096}};
    EXPECT_THAT(pages_text(full, {40, false}), HasSubstr("\n  " + std::string(37, '-') + "|\n"));
}

TEST(PagesText, NarrowTerminals) {
    for (const size_t width : {0, 1, 20}) {
        EXPECT_THAT(pages_text(report({process(5, "sdsaddadas")}), {width, false}),
                    HasSubstr("  #-.|##.\n"));
    }
}

TEST(PagesText, ColoursOnlyIfAsked) {
    const PageReport one = report({process(5, "sdsaddadas")});
    EXPECT_THAT(pages_text(one, {100, false}), Not(HasSubstr("\033")));
    const std::string coloured = pages_text(one, {100, true});
    EXPECT_THAT(coloured, HasSubstr("\033[31m##\033[0m\033[2m.\033[0m\n"));
}

TEST(PagesText, NamesCannotControlTheTerminal) {
    PageReport evil = report({process(5, "sdsaddadas")});
    evil.image = "./\033]0;evil\a";
    EXPECT_THAT(pages_text(evil, {}), Not(HasSubstr("\033")));
}

// Is this well-formed? Asks a parser that is not ours.
bool is_xml(const std::string& text) {
    const TempDir directory;
    const std::string file = directory.file("text.svg", text);
    const char* script =
        "import sys, xml.etree.ElementTree as e; "
        "sys.exit(e.parse(sys.argv[1]).getroot().tag != '{http://www.w3.org/2000/svg}svg')";
    Result<ChildEnd> end = run_child({TEST_PYTHON, {"-I", "-c", script, file}, {}});
    return end && end->signal == 0 && end->status == 0;
}

TEST(PagesSvg, OfOneProcess) {
    const std::string svg = pages_svg(report({process(5, "sdsaddadas")}));
    EXPECT_TRUE(is_xml(svg)) << svg;
    EXPECT_THAT(svg, HasSubstr("Pages of image img-1"));
    EXPECT_THAT(svg, HasSubstr("3.13.5 (main) &lt;GCC &amp; co&gt;; process 5<"));
    EXPECT_THAT(svg, HasSubstr("10 pages: 4 dirty, 3 shared, 3 absent; 3 hot, 1 of them dirty. "
                               "Dirty are 16 KiB."));
    EXPECT_THAT(svg, HasSubstr("<g><title>code-once: 6 pages: 3 dirty, 1 shared, 2 absent; 3 hot, "
                               "1 of them dirty</title>"));
    // d s a d d a: five runs of one class; one more each in header, roots, two in str-doc.
    EXPECT_EQ(occurrences(svg, "<path "), 9U);
    EXPECT_EQ(occurrences(svg, "<path class=\"d5\""), 3U);
    EXPECT_EQ(occurrences(svg, "<path class=\"s\""), 3U);
    EXPECT_EQ(occurrences(svg, "<path class=\"a\""), 3U);
    // One in the legend, one under the first three cells.
    EXPECT_EQ(occurrences(svg, "class=\"hot\""), 2U);
    // What is empty is not drawn, and of one process no page is half dirty.
    EXPECT_THAT(svg, Not(HasSubstr("left-out")));
    EXPECT_THAT(svg, Not(HasSubstr("%")));
}

TEST(PagesSvg, OfSeveralProcessesShadesTheDirty) {
    const std::string svg = pages_svg(
        report({process(5, "sdsaddadas"), process(6, "sdsaddddas"), process(7, "sdsadaaaas")}));
    EXPECT_TRUE(is_xml(svg)) << svg;
    EXPECT_THAT(svg, HasSubstr("processes 5 6 7; counts are means"));
    EXPECT_THAT(svg, HasSubstr("dirty up to 20%"));
    EXPECT_THAT(svg, HasSubstr("<path class=\"d5\""));  // 3 of 3
    EXPECT_THAT(svg, HasSubstr("<path class=\"d4\""));  // 2 of 3
    EXPECT_THAT(svg, HasSubstr("<path class=\"d2\""));  // 1 of 3
    EXPECT_THAT(svg, HasSubstr("Dirty are 14.7 KiB of each process."));
}

TEST(PagesSvg, LargeImagesHaveSeveralPagesInACell) {
    PageReport large = report({process(5, std::string(100'000, 's'))});
    large.regions = {{"bytes", true, 0, 100'000, 0, 409'600'000}};
    const std::string svg = pages_svg(large);
    EXPECT_THAT(svg, HasSubstr("a cell is 4 pages, a full row 4.0 MiB"));
    EXPECT_EQ(occurrences(svg, "<path "), 98U);  // rows
    EXPECT_LT(svg.size(), 1'000'000U);
}

TEST(PagesSvg, AnyNameIsXml) {
    PageReport evil = report({process(5, "sdsaddadas")});
    evil.image = "./a<b>&\"c\x01\xff\033";
    EXPECT_TRUE(is_xml(pages_svg(evil)));
}

}  // namespace
}  // namespace pycds::ctl
