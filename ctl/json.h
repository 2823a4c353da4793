// Writes JSON, two spaces per level, keys in the order in which they are given.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "src/common/base/text.h"

namespace pycds::ctl {

// Values follow each other without commas or white space of the caller's: the writer knows.
class JsonWriter {
  public:
    JsonWriter& begin_object() { return begin('{'); }
    JsonWriter& end_object() { return end('}'); }
    JsonWriter& begin_array() { return begin('['); }
    JsonWriter& end_array() { return end(']'); }
    // The next value is that of this key.
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text) { return raw(json_string(text)); }
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    JsonWriter& value(bool truth) { return raw(truth ? "true" : "false"); }
    template <std::unsigned_integral Number>
    requires(!std::same_as<Number, bool>) JsonWriter& value(Number number) {
        return raw(std::to_string(number));
    }
    template <typename Value>
    JsonWriter& field(std::string_view name, const Value& content) {
        return key(name).value(content);
    }

    // The whole document, with a newline at its end.
    std::string text() const { return text_ + "\n"; }

  private:
    JsonWriter& begin(char bracket);
    JsonWriter& end(char bracket);
    JsonWriter& raw(std::string_view token);
    void separate();
    void new_line();

    std::string text_;
    int depth_ = 0;
    bool empty_ = true;  // nothing in the innermost bracket yet
    bool after_key_ = false;
};

}  // namespace pycds::ctl
