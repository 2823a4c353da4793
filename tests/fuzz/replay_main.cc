// Runs a fuzz target over the files of directories, for compilers without libFuzzer:
//
//     NAME DIRECTORY...
//     NAME --mutate COUNT SEED DIRECTORY...
//
// The latter then goes on with COUNT inputs made of these by chance, knowing nothing of the code:
// many more in a second than libFuzzer's instrumented ones.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

void run(const Input& input) {
    // A copy of the exact size, so that a sanitizer sees a read behind its end.
    const Input bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

class Mutator {
  public:
    Mutator(const std::vector<Input>& inputs, uint64_t seed) : inputs_(inputs), random_(seed) {}

    Input next() {
        Input out = any();
        for (uint64_t edits = 1 + pick(4); edits > 0; --edits) edit(out);
        return out;
    }

  private:
    uint64_t pick(uint64_t below) { return random_() % below; }
    const Input& any() { return inputs_[pick(inputs_.size())]; }

    void edit(Input& out) {
        if (out.empty()) return out.push_back(static_cast<uint8_t>(random_()));
        const size_t at = pick(out.size());
        const auto place = out.begin() + static_cast<std::ptrdiff_t>(at);
        switch (pick(6)) {
            case 0: out[at] ^= static_cast<uint8_t>(1U << pick(8)); break;
            case 1: out[at] = static_cast<uint8_t>(random_()); break;
            case 2: out.insert(place, static_cast<uint8_t>(random_())); break;
            case 3: out.erase(place); break;
            case 4: out.resize(at); break;
            default: {
                const Input& other = any();
                const size_t from = other.empty() ? 0 : pick(other.size());
                out.resize(at);
                out.insert(out.end(), other.begin() + static_cast<std::ptrdiff_t>(from),
                           other.end());
            }
        }
    }

    const std::vector<Input>& inputs_;
    std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
    const bool mutate = argc > 3 && std::string(argv[1]) == "--mutate";
    std::vector<Input> inputs;
    for (int i = mutate ? 4 : 1; i < argc; ++i) {
        for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
            std::ifstream stream(entry.path(), std::ios::binary);
            const std::vector<char> text{std::istreambuf_iterator<char>(stream), {}};
            inputs.emplace_back(text.begin(), text.end());
        }
    }
    for (const Input& input : inputs) run(input);
    std::printf("%zu inputs\n", inputs.size());
    if (inputs.empty()) return 1;
    if (!mutate) return 0;
    const uint64_t count = std::stoull(argv[2]);
    Mutator mutator(inputs, std::stoull(argv[3]));
    for (uint64_t i = 0; i < count; ++i) run(mutator.next());
    std::printf("%lu made of them\n", static_cast<unsigned long>(count));
    return 0;
}
