// pycdsctl status.
#include <fmt/format.h>

#include <memory>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "src/common/base/text.h"

namespace pycds::ctl {
namespace {

std::string json_text(const std::string& socket_path, const wire::StatusReply& status) {
    JsonWriter json;
    json.begin_object()
        .field("socket", socket_path)
        .field("version", status.version)
        .field("pid", status.pid)
        .field("uptime_ms", status.uptime_ms)
        .field("images", status.images)
        .field("image_bytes", status.image_bytes)
        .field("attaches", status.attaches)
        .field("attach_misses", status.attach_misses)
        .field("connections", status.connections)
        .field("builds_running", status.builds_running)
        .field("builds_done", status.builds_done)
        .field("builds_failed", status.builds_failed)
        .end_object();
    return json.text();
}

std::string people_text(const std::string& socket_path, const wire::StatusReply& status) {
    return fmt::format(
        "pycdsd {} answers at {} (process {}, up {})\n"
        "images:      {}, {}\n"
        "attaches:    {}, {} without an image\n"
        "builds:      {} done, {} failed, {} running\n"
        "connections: {}\n",
        printable(status.version), printable(socket_path), status.pid,
        duration_text(status.uptime_ms), status.images, human_size(status.image_bytes),
        status.attaches, status.attach_misses, status.builds_done, status.builds_failed,
        status.builds_running, status.connections);
}

Status run_status(const std::string& socket_path, bool json) {
    Result<Connection> daemon = Connection::open(socket_path);
    if (!daemon) return daemon.error();
    Result<wire::StatusReply> status = daemon->ask<wire::StatusReply>(wire::StatusRequest{});
    if (!status) return status.error();
    return print_out(json ? json_text(socket_path, *status) : people_text(socket_path, *status));
}

}  // namespace

void add_status_command(CLI::App& app, const Globals& globals, Action& action) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("status", "Say how the daemon is doing");
    command->fallthrough();
    command->add_flag("--json", *json, "Print JSON");
    command->footer("Example:\n  pycdsctl status --json");
    command->callback([json, &globals, &action] {
        action = [json, &globals] { return run_status(choose_socket(globals.socket), *json); };
    });
}

}  // namespace pycds::ctl
