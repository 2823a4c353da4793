#include "client/builder/profile.h"

#include <charconv>

namespace pycds::builder {
namespace {

std::string pair_key(std::string_view first, std::string_view second) {
    std::string key(first);
    key.push_back('\0');
    key.append(second);
    return key;
}

// The word before the first space, taken off `line` together with that space.
std::string_view take_word(std::string_view* line) {
    const size_t end = line->find(' ');
    const std::string_view word = line->substr(0, end);
    line->remove_prefix(end == std::string_view::npos ? line->size() : end + 1);
    return word;
}

bool is_version_directory(std::string_view name) {
    constexpr std::string_view kPrefix = "python3.";
    return name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
           name.find_first_not_of("0123456789", kPrefix.size()) == std::string_view::npos;
}

}  // namespace

Profile Profile::parse(std::string_view text) {
    Profile profile;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        const std::string_view kind = take_word(&line);
        if (line.empty()) continue;
        if (kind == "module") {
            const std::string_view number = take_word(&line);
            uint32_t programs = 0;
            const auto end_of_number = number.data() + number.size();
            if (std::from_chars(number.data(), end_of_number, programs).ptr != end_of_number) continue;
            if (!line.empty()) profile.modules_[std::string(line)] = programs;
        } else if (kind == "name") {
            profile.names_.emplace(line);
        } else if (kind == "foreign") {
            const std::string_view package = take_word(&line);
            if (!line.empty()) profile.foreign_.insert(pair_key(package, line));
        } else if (kind == "key") {
            profile.keys_.emplace(line);
        } else if (kind == "function" || kind == "hashed") {
            const std::string_view module = take_word(&line);
            auto& set = kind == "function" ? profile.functions_ : profile.hashed_;
            if (!line.empty()) set.insert(pair_key(module, line));
        }
    }
    return profile;
}

bool Profile::runs(std::string_view module, std::string_view qualname) const {
    return functions_.count(pair_key(module, qualname)) != 0;
}

uint32_t Profile::popularity(std::string_view module) const {
    const auto known = modules_.find(std::string(module));
    return known == modules_.end() ? 0 : known->second;
}

bool Profile::hashes(std::string_view module, std::string_view qualname) const {
    return hashed_.count(pair_key(module, qualname)) != 0;
}

bool Profile::has_name(std::string_view text) const {
    return names_.count(std::string(text)) != 0;
}

bool Profile::has_foreign(std::string_view package, std::string_view text) const {
    return foreign_.count(pair_key(package, text)) != 0;
}

bool Profile::has_key(std::string_view text) const {
    return keys_.count(std::string(text)) != 0;
}

std::string_view Profile::module_key(std::string_view path) {
    std::string_view key = path;
    size_t begin = 0;
    while (begin < path.size()) {
        const size_t slash = path.find('/', begin);
        if (slash == std::string_view::npos) break;
        const std::string_view directory = path.substr(begin, slash - begin);
        begin = slash + 1;
        // The last one counts: ".../python3.11/site-packages/" is one directory.
        if (directory == "dist-packages" || directory == "site-packages" ||
            is_version_directory(directory)) {
            key = path.substr(begin);
        }
    }
    return key;
}

std::string_view Profile::package(std::string_view module_key) {
    const std::string_view first = module_key.substr(0, module_key.find('/', 1));
    return first.substr(0, first.find('.'));
}

}  // namespace pycds::builder
