#include "daemon/config/reload.h"

#include <utility>

#include "src/common/base/text.h"

namespace pycds::config {

Result<Reload> reload(int argc, const char* const* argv, const Options& current,
                      const char* system_config) {
    Result<CommandLine> again = parse_command_line(argc, argv, system_config);
    if (!again) return again.error();
    if (again->exit)
        return Error{ErrorCode::kInvalidArgument, "the command line is no longer good"};
    Reload out{std::move(again->options), {}, {}};
    const auto compare = [&](const OptionInfo& option, std::vector<std::string>* different) {
        const std::string was = option_text(current, option.name);
        const std::string is = option_text(out.options, option.name);
        if (was == is) return;
        different->push_back(std::string(option.name) + " = " + printable(is) + " (was " +
                             printable(was) + ")");
    };
    // First: the defaults of others follow from what they keep.
    for (const OptionInfo& option : all_options()) {
        if (!option.needs_restart) continue;
        compare(option, &out.need_restart);
        keep_option(current, option.name, &out.options);
    }
    for (const OptionInfo& option : all_options()) {
        if (!option.needs_restart) compare(option, &out.changed);
    }
    return out;
}

}  // namespace pycds::config
