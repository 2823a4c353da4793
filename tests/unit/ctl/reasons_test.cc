#include "ctl/reasons.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "src/common/image/format.h"

namespace pycds::ctl {
namespace {

namespace fs = std::filesystem;

// Literals of the client in the form of a reason that are none: settings, and kinds of layout.
const std::set<std::string> kOthers = {"keep-pages", "common"};

// The client is compiled without the C++ library, so it has no table to share with the tools; but
// whatever it can say stands in its sources, in one form: a literal of words with hyphens, or one
// that is returned or kept as the reason.
std::set<std::string> words_of_the_client() {
    const std::regex form("\"([a-z]+(?:-[a-z]+)+)\"|(?:return|why_not =|failure =) \"([a-z]+)\"");
    std::set<std::string> words;
    for (const char* part : {"ext", "interp", "link", "loader"}) {
        for (const auto& entry : fs::directory_iterator(fs::path(CLIENT_SOURCES) / part)) {
            std::ifstream file(entry.path());
            const std::string text{std::istreambuf_iterator<char>(file), {}};
            for (std::sregex_iterator it(text.begin(), text.end(), form), end; it != end; ++it) {
                words.insert((*it)[1].matched ? (*it)[1].str() : (*it)[2].str());
            }
        }
    }
    for (const std::string& other : kOthers) words.erase(other);
    return words;
}

TEST(Reasons, AllOfTheClientHaveASentenceAndNoOthers) {
    std::set<std::string> known;
    for (const auto& reasons : {refusals(), misses()}) {
        for (const Reason& reason : reasons) {
            known.emplace(reason.name);
            EXPECT_GE(reason.sentence.size(), 20U) << reason.name;
            EXPECT_NE(reason.sentence.back(), '.') << reason.name;
        }
    }
    EXPECT_EQ(words_of_the_client(), known);
}

TEST(Reasons, AllOfTheBuilderHaveASentenceAndNoOthers) {
    std::set<std::string> names;
    for (uint32_t number = 1;; ++number) {
        const std::string name = image::left_out_reason_name(image::LeftOutReason{number});
        if (name == "unknown") break;
        names.insert(name);
    }
    std::set<std::string> known;
    for (const Reason& reason : left_out_reasons()) known.emplace(reason.name);
    EXPECT_EQ(names, known);
}

// One name, one meaning: scripts see them in one place.
TEST(Reasons, NoFindingHasTheNameOfAnother) {
    for (const Reason& finding : findings()) {
        EXPECT_NE(finding.sentence.back(), '.') << finding.name;
        for (const auto& reasons : {refusals(), misses(), left_out_reasons()}) {
            for (const Reason& reason : reasons) EXPECT_NE(reason.name, finding.name);
        }
    }
}

TEST(Reasons, AreExplained) {
    EXPECT_NE(explain_refusal("no-daemon").find("systemctl start pycdsd"), std::string_view::npos);
    EXPECT_NE(explain_miss("source-changed").find("build"), std::string_view::npos);
    EXPECT_NE(explain_miss("invented").find("does not know"), std::string_view::npos);
}

}  // namespace
}  // namespace pycds::ctl
