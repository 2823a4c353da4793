// pycdsctl drop.
#include <fmt/format.h>

#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/json.h"
#include "ctl/output.h"

namespace pycds::ctl {
namespace {

struct DropOptions {
    std::string image;
    bool json = false;
};

Status run_drop(const DropOptions& options, const std::string& socket_path) {
    Result<Connection> daemon = Connection::open(socket_path);
    if (!daemon) return daemon.error();
    Result<wire::DropReply> reply = daemon->ask<wire::DropReply>(wire::DropRequest{options.image});
    if (!reply) return reply.error();
    if (options.json) {
        JsonWriter json;
        json.begin_object().field("dropped", reply->dropped).end_object();
        return print_out(json.text());
    }
    return print_out(fmt::format("dropped {}\n", count_text(reply->dropped, "image")));
}

}  // namespace

void add_drop_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<DropOptions>();
    CLI::App* command = app.add_subcommand(
        "drop", "Make the daemon forget an image; processes that map it keep it");
    command->fallthrough();
    command->add_option("IMAGE", options->image, "Id of an image, as list prints it, or 'all'")
        ->type_name("")
        ->required();
    command->add_flag("--json", options->json, "Print JSON");
    command->footer("Example:\n  pycdsctl drop all");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_drop(*options, choose_socket(globals.socket)); };
    });
}

}  // namespace pycds::ctl
