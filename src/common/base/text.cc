#include "src/common/base/text.h"

#include <cstdio>

namespace pycds {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

struct CodePoint {
    uint32_t value = 0;
    size_t size = 0;  // bytes; 0: no valid UTF-8 here
};

// The Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF.
CodePoint decode(std::string_view rest) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(rest[i]); };
    const uint8_t first = byte(0);
    if (first < 0x80) return {first, 1};
    size_t size = 0;
    if (first >= 0xC2 && first <= 0xDF) size = 2;
    if (first >= 0xE0 && first <= 0xEF) size = 3;
    if (first >= 0xF0 && first <= 0xF4) size = 4;
    if (size == 0 || rest.size() < size) return {};
    uint32_t value = first & (0xFFU >> (size + 1));
    for (size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3F);
    }
    constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < kSmallest[size] || value > 0x10FFFF) return {};
    if (value >= 0xD800 && value <= 0xDFFF) return {};
    return {value, size};
}

// C0, DEL and C1: what a terminal may act upon.
bool is_control(uint32_t value) {
    return value < 0x20 || (value >= 0x7F && value < 0xA0);
}

void append_hex(std::string& out, uint8_t byte) {
    out.push_back(kHexDigits[byte >> 4]);
    out.push_back(kHexDigits[byte & 15]);
}

}  // namespace

std::string json_string(std::string_view bytes) {
    std::string out = "\"";
    while (!bytes.empty()) {
        const CodePoint point = decode(bytes);
        if (point.size == 0) {
            out += "\\udc";
            append_hex(out, static_cast<uint8_t>(bytes[0]));
            bytes.remove_prefix(1);
            continue;
        }
        if (point.value == '"' || point.value == '\\') {
            out.push_back('\\');
            out.push_back(static_cast<char>(point.value));
        } else if (is_control(point.value)) {
            out += "\\u00";
            append_hex(out, static_cast<uint8_t>(point.value));
        } else {
            out += bytes.substr(0, point.size);
        }
        bytes.remove_prefix(point.size);
    }
    out.push_back('"');
    return out;
}

std::string printable(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        const CodePoint point = decode(bytes);
        const size_t size = point.size == 0 ? 1 : point.size;
        if (point.size == 0 || is_control(point.value) || point.value == '\\') {
            for (const char c : bytes.substr(0, size)) {
                out += "\\x";
                append_hex(out, static_cast<uint8_t>(c));
            }
        } else {
            out += bytes.substr(0, size);
        }
        bytes.remove_prefix(size);
    }
    return out;
}

bool is_text_line(std::string_view bytes) {
    while (!bytes.empty()) {
        const CodePoint point = decode(bytes);
        if (point.size == 0 || (is_control(point.value) && point.value != '\t')) return false;
        bytes.remove_prefix(point.size);
    }
    return true;
}

std::string hex(const uint8_t* bytes, size_t size) {
    std::string out;
    for (size_t i = 0; i < size; ++i) append_hex(out, bytes[i]);
    return out;
}

std::string human_size(uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + " B";
    const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = static_cast<double>(bytes) / 1024;
    size_t unit = 0;
    // From here on one decimal would round to 1024.0.
    while (value >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        ++unit;
    }
    char text[32];
    std::snprintf(text, sizeof text, "%.1f %s", value, units[unit]);
    return text;
}

std::string short_version(std::string_view python) {
    return std::string(python.substr(0, python.find(' ')));
}

}  // namespace pycds
