// What is written for administrators agrees with the program: the manual pages and the catalog of
// messages.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/config/options.h"
#include "src/common/base/event.h"
#include "tests/unit/daemon/temp_dir.h"

namespace pycds {
namespace {

std::string document(const std::string& path) {
    const std::string text = test::read_file(std::string(PYCDS_SOURCE_DIR) + "/" + path);
    EXPECT_FALSE(text.empty()) << path;
    return text;
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

// roff wants a backslash before a hyphen that is to be copied as one.
std::string in_roff(std::string_view text) {
    std::string out;
    for (const char c : text) out += c == '-' ? "\\-" : std::string(1, c);
    return out;
}

// The tagged paragraphs of one section of a page, by their tags without font macros.
std::map<std::string, std::string> paragraphs(const std::string& page, const std::string& section) {
    std::map<std::string, std::string> out;
    const std::vector<std::string> lines = lines_of(page);
    auto line = std::find(lines.begin(), lines.end(), ".SH " + section);
    std::string* current = nullptr;
    for (; line != lines.end() && (current == nullptr || !line->starts_with(".SH")); ++line) {
        if (*line == ".TP" && line + 1 != lines.end()) {
            ++line;
            current = &out[line->substr(line->find(' ') + 1)];
        } else if (current != nullptr) {
            *current += *line + "\n";
        }
    }
    return out;
}

std::string default_number(std::string_view name) {
    const std::string text = config::option_text(config::Options{}, name);
    return text.find_first_not_of("0123456789") == std::string::npos ? text : std::string();
}

TEST(ManualPages, OfTheDaemonHasEveryOption) {
    const auto options = paragraphs(document("docs/man/pycdsd.8"), "OPTIONS");
    std::set<std::string> tags;
    for (const auto& [tag, text] : options) tags.insert(tag);
    for (const config::OptionInfo& option : config::all_options()) {
        const std::string tag = option.type == nullptr ? in_roff(std::string("--") + option.name)
                                                       : in_roff(std::string("--") + option.name) +
                                                             " \" " + option.type + "\"";
        ASSERT_EQ(tags.erase(tag), 1u) << tag;
        EXPECT_NE(options.at(tag).find(default_number(option.name)), std::string::npos) << tag;
    }
    EXPECT_EQ(tags, (std::set<std::string>{"\\-\\-config \" FILE\"", "\\-h \", \" \\-\\-help",
                                           "\\-\\-version"}));
}

TEST(ManualPages, OfTheFileHasEveryOptionWithItsDefault) {
    auto options = paragraphs(document("docs/man/pycdsd.conf.5"), "OPTIONS");
    for (const config::OptionInfo& option : config::all_options()) {
        const auto found = options.find(in_roff(option.name));
        ASSERT_NE(found, options.end()) << option.name;
        const std::string& text = found->second;
        const size_t stated = text.find("\nDefault:");
        ASSERT_NE(stated, std::string::npos) << option.name;
        const std::string number = default_number(option.name);
        if (!number.empty()) {
            EXPECT_TRUE(text.substr(stated).starts_with("\nDefault: " + number + ".\n")) << text;
        }
        EXPECT_EQ(text.find(".I Restart.\n") != std::string::npos, option.needs_restart)
            << option.name;
        options.erase(found);
    }
    EXPECT_TRUE(options.empty()) << options.begin()->first << " is no option";
}

TEST(ManualPages, HaveEveryMessageWithItsFields) {
    auto messages = paragraphs(document("docs/man/pycdsd.8"), "MESSAGES");
    for (const EventInfo& info : kEvents) {
        const auto found = messages.find(std::string(info.id));
        ASSERT_NE(found, messages.end()) << info.id;
        for (const std::string_view field : info.fields) {
            EXPECT_NE(found->second.find(field), std::string::npos) << info.id << " " << field;
        }
        messages.erase(found);
    }
    EXPECT_TRUE(messages.empty()) << messages.begin()->first << " is no message";
}

struct CatalogEntry {
    bool subject = false;
    std::string text;
};

std::map<std::string, CatalogEntry> catalog() {
    std::map<std::string, CatalogEntry> out;
    CatalogEntry* current = nullptr;
    for (const std::string& line : lines_of(document("systemd/pycds.catalog"))) {
        if (line.starts_with("-- ")) {
            EXPECT_EQ(out.count(line.substr(3)), 0u) << line;
            current = &out[line.substr(3)];
        } else if (current != nullptr) {
            current->subject = current->subject || line.starts_with("Subject: ");
            current->text += line + "\n";
        }
    }
    return out;
}

TEST(Catalog, ExplainsEveryMessageWithFieldsThatItHas) {
    std::map<std::string, CatalogEntry> entries = catalog();
    for (const EventInfo& info : kEvents) {
        const auto found = entries.find(std::string(info.id));
        ASSERT_NE(found, entries.end()) << info.id;
        EXPECT_TRUE(found->second.subject) << info.id;
        const std::string& text = found->second.text;
        EXPECT_NE(text.find("\n\n"), std::string::npos) << info.id << ": headers, then text";
        for (size_t at = text.find('@'); at != std::string::npos;) {
            const size_t end = text.find('@', at + 1);
            ASSERT_NE(end, std::string::npos) << info.id;
            const std::string field = text.substr(at + 1, end - at - 1);
            EXPECT_NE(std::find(info.fields.begin(), info.fields.end(), field), info.fields.end())
                << info.id << " does not always have " << field;
            at = text.find('@', end + 1);
        }
        entries.erase(found);
    }
    EXPECT_TRUE(entries.empty()) << entries.begin()->first << " is no message";
}

TEST(Events, HaveIdsOfTheirOwn) {
    std::set<std::string_view> ids;
    for (const EventInfo& info : kEvents) {
        EXPECT_EQ(info.id.size(), 32u);
        EXPECT_EQ(info.id.find_first_not_of("0123456789abcdef"), std::string_view::npos);
        EXPECT_TRUE(ids.insert(info.id).second) << info.id;
    }
}

}  // namespace
}  // namespace pycds
