#include "ctl/json.h"

namespace pycds::ctl {
JsonWriter& JsonWriter::key(std::string_view name) {
    separate();
    text_ += json_string(name);
    text_ += ": ";
    after_key_ = true;
    return *this;
}

JsonWriter& JsonWriter::begin(char bracket) {
    separate();
    text_ += bracket;
    ++depth_;
    empty_ = true;
    return *this;
}

JsonWriter& JsonWriter::end(char bracket) {
    --depth_;
    if (!empty_) new_line();
    text_ += bracket;
    empty_ = false;
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view token) {
    separate();
    text_ += token;
    return *this;
}

void JsonWriter::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (depth_ > 0) {
        if (!empty_) text_ += ',';
        new_line();
    }
    empty_ = false;
}

void JsonWriter::new_line() {
    text_ += '\n';
    text_.append(static_cast<size_t>(depth_) * 2, ' ');
}

}  // namespace pycds::ctl
