#include "ctl/trial.h"

#include <unistd.h>

#include <cstdlib>

#include "ctl/connection.h"
#include "src/common/os/sealed_memfd.h"

namespace pycds::ctl {

Result<Trial> try_program(const Target& target, std::vector<std::string> arguments,
                          const std::string& socket) {
    Result<UniqueFd> answer = create_memfd("pycdsctl-trial");
    if (!answer) return answer.error();
    ChildSpec spec{target.python.path, std::move(arguments), {}};
    if (socket != kSystemSocket) spec.variables.push_back("PYCDS_SOCKET=" + socket);
    spec.descriptor = answer->get();
    Result<ChildEnd> end = run_child(spec);
    if (!end) return end.error();
    const int64_t written = regular_file_size(answer->get());
    std::string text(written < 0 ? 0 : static_cast<size_t>(written), '\0');
    const ssize_t size = pread(answer->get(), text.data(), text.size(), 0);
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return Trial{std::move(*end), fields_of(text)};
}

std::string client_socket(const std::string& wanted) {
    if (!wanted.empty()) return wanted;
    const char* set = std::getenv("PYCDS_SOCKET");
    return set != nullptr && *set != '\0' ? set : kSystemSocket;
}

}  // namespace pycds::ctl
