// pycdsctl list.
#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

std::string json_text(const wire::ListReply& list) {
    JsonWriter json;
    json.begin_object().key("images").begin_array();
    for (const wire::ImageInfo& image : list.images) write_json(json, image);
    json.end_array().end_object();
    return json.text();
}

std::string people_text(const wire::ListReply& list) {
    using enum Table::Align;
    Table table({{"IMAGE", kLeft},
                 {"PYTHON", kLeft},
                 {"DOMAIN", kLeft},
                 {"MODULES", kRight},
                 {"LEFT OUT", kRight},
                 {"SIZE", kRight},
                 {"ATTACHES", kRight},
                 {"AGE", kRight}});
    for (const wire::ImageInfo& image : list.images) {
        table.add({image.id, short_version(image.python), domain_text(image),
                   std::to_string(image.roots), std::to_string(image.left_out),
                   human_size(image.size), std::to_string(image.attaches),
                   age_text(image.published_unix_ms)});
    }
    return table.text();
}

Status run_list(const std::string& socket_path, bool json) {
    Result<Connection> daemon = Connection::open(socket_path);
    if (!daemon) return daemon.error();
    Result<wire::ListReply> list = daemon->ask<wire::ListReply>(wire::ListRequest{});
    if (!list) return list.error();
    return print_out(json ? json_text(*list) : people_text(*list));
}

}  // namespace

void add_list_command(CLI::App& app, const Globals& globals, Action& action) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand(
        "list", "List the images that you may map; root and the daemon's user see all");
    command->fallthrough();
    command->add_flag("--json", *json, "Print JSON");
    command->footer("Example:\n  pycdsctl list");
    command->callback([json, &globals, &action] {
        action = [json, &globals] { return run_list(choose_socket(globals.socket), *json); };
    });
}

}  // namespace pycds::ctl
