// The daemon's configuration file. Beyond not crashing: what is accepted keeps to its limits, and
// what is said of a mistake is one line of text, whatever stands in the file.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "daemon/config/config_file.h"
#include "src/common/base/text.h"

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

bool is_path(const std::string& text) {
    return text.empty() || (text.front() == '/' && text.find('\0') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace pycds::config;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    Options options;
    const pycds::Status status = parse_config(text, "/etc/f.conf", &options);
    if (!status) {
        const std::string& message = status.error().message;
        require(message.starts_with("/etc/f.conf:"));
        require(pycds::is_text_line(message) && message.size() < 2000);
    }
    // Also after a mistake: what came before it has been set.
    require(is_path(options.socket) && is_path(options.clients));
    require(is_path(options.cache) || options.cache == "none");
    for (const std::string& path : options.interpreters) require(is_path(path) && !path.empty());
    require(options.build_deadline_s >= 1 && options.build_deadline_s <= 86'400);
    require(options.build_memory_mib >= 64 && options.build_memory_mib <= uint64_t{1} << 30);
    require(options.image_budget_mib >= 1 && options.image_budget_mib <= uint64_t{1} << 30);
    for (const OptionInfo& option : all_options()) option_text(options, option.name);
    return 0;
}
