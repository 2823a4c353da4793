// pycdsctl show.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "ctl/command.h"
#include "ctl/connection.h"
#include "ctl/image_source.h"
#include "ctl/output.h"
#include "ctl/pages/process.h"
#include "ctl/pages/report.h"
#include "ctl/pages/svg.h"
#include "ctl/pages/text.h"
#include "src/common/image/format.h"
#include "src/common/image/printer.h"
#include "src/common/image/validator.h"

namespace pycds::ctl {
namespace {

struct ShowOptions {
    std::string image;
    bool roots = false;
    bool left_out = false;
    std::vector<pid_t> pages;  // of which processes
    std::string svg;           // path of a file
    bool json = false;
};

constexpr size_t kWidthOfFiles = 100;

Status run_pages(const ShowOptions& options, const LoadedImage& loaded) {
    image::Header header;
    std::memcpy(&header, loaded.bytes().data(), sizeof header);
    PageReport report{options.image, header.python, header.generation, page_regions(header), {}};
    for (const pid_t pid : options.pages) {
        const auto known = [pid](const ProcessPages& process) { return process.pid == pid; };
        if (std::any_of(report.processes.begin(), report.processes.end(), known)) continue;
        auto states = read_process_pages(pid, loaded, "image " + options.image);
        if (!states) return states.error();
        report.processes.push_back({pid, std::move(*states)});
    }
    if (!options.svg.empty()) {
        Status written = write_file(options.svg, pages_svg(report));
        if (!written) return written;
    }
    if (options.json) return print_out(pages_json(report));
    // https://no-color.org: any value but the empty one.
    const char* plain = std::getenv("NO_COLOR");
    TextStyle style;
    style.width = terminal_width(STDOUT_FILENO, kWidthOfFiles);
    style.colour = is_terminal(STDOUT_FILENO) && (plain == nullptr || *plain == '\0');
    return print_out(pages_text(report, style));
}

Status run_show(const ShowOptions& options, const std::string& socket_path) {
    Result<LoadedImage> loaded = load_image(options.image, socket_path);
    if (!loaded) return loaded.error();
    const auto bytes = loaded->bytes();
    // The printer follows offsets; only a valid image has ones that lead somewhere. Of another
    // format version it prints the frozen prefix and follows nothing.
    const image::Verdict verdict = image::validate_image(bytes.data(), bytes.size());
    if (verdict.defect != image::Defect::kFormatVersion || !options.pages.empty()) {
        Status valid = judge(options.image, verdict);
        if (!valid) return valid;
    }
    if (!options.pages.empty()) return run_pages(options, *loaded);
    image::PrintOptions print;
    print.roots = options.roots;
    print.left_out = options.left_out;
    return print_out(options.json ? image::print_json(bytes, print)
                                  : image::print_text(bytes, print));
}

}  // namespace

void add_show_command(CLI::App& app, const Globals& globals, Action& action) {
    auto options = std::make_shared<ShowOptions>();
    CLI::App* command = app.add_subcommand("show", "Say what is in an image");
    command->fallthrough();
    command
        ->add_option("IMAGE", options->image,
                     "Id of an image, as list prints it, or path of a file with a '/' in it")
        ->type_name("")
        ->required();
    CLI::Option* roots = command->add_flag("--roots", options->roots, "Also each module");
    CLI::Option* left_out = command->add_flag("--left-out", options->left_out,
                                              "Also each source that was left out, and why");
    CLI::Option* pages =
        command
            ->add_option("--pages", options->pages,
                         "Instead: which pages of each region these processes, which map the "
                         "image, share (as they are in it), have dirty (own, since written) or "
                         "absent (never touched)")
            ->type_name("PID")
            ->check(CLI::Range(1, std::numeric_limits<pid_t>::max()).description(""))
            ->excludes(roots)
            ->excludes(left_out);
    command->add_option("--svg", options->svg, "With --pages: also draw them into this SVG file")
        ->type_name("FILE")
        ->needs(pages);
    command->add_flag("--json", options->json, "Print JSON");
    command->footer(
        "With --pages, JSON has for each process and each of its regions: pages, the sum of dirty, "
        "shared and absent; hot_pages, those at the start of a region that are expected to be "
        "written, and hot_dirty, the dirty ones among them. \"objects\" is false for tables, which "
        "nobody writes to.\n\n"
        "Example:\n"
        "  pycdsctl show --left-out IMAGE\n"
        "  pycdsctl show IMAGE --pages 4711 4712 --svg pages.svg");
    command->callback([options, &globals, &action] {
        action = [options, &globals] { return run_show(*options, choose_socket(globals.socket)); };
    });
}

}  // namespace pycds::ctl
