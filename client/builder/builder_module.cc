// The extension module `_pycds_builder`: dump time. One function, build(), driven by
// pycds_build.py in a throw-away interpreter.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>
#include <marshal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/builder/confinement.h"
#include "client/builder/image_writer.h"
#include "client/builder/interned_dict.h"
#include "client/builder/marshal_scan.h"
#include "client/builder/object_graph.h"
#include "client/builder/offered.h"
#include "client/builder/pyc_file.h"
#include "client/builder/recorder.h"
#include "client/builder/whereabouts.h"
#include "client/interp/common_layout.h"
#include "client/interp/identity.h"
#include "client/interp/internals.h"
#include "src/common/base/bitmap.h"
#include "src/common/image/rebase.h"
#include "src/common/image/validator.h"

namespace pycds::builder {
namespace {

using image::LeftOutReason;

struct Arguments {
    int plan_fd = -1;
    int out_fd = -1;
    int report_fd = -1;
    int filter_fd = -1;
    int sources_fd = -1;  // -1: sources are opened as the plan names them
    PyObject* look_for_patterns = nullptr;  // borrowed; called with each module's code object
    PyObject* compile_patterns = nullptr;   // borrowed; returns lists of entries and of constants
    uint64_t common_base = 0;
    ImageParameters parameters;
};

struct PlannedSource {
    std::string path;
    uint64_t offset = 0;  // in the plan
};

// By path.
Result<std::vector<PlannedSource>> read_plan(int fd) {
    std::string text;
    char buffer[1 << 16];
    for (;;) {
        const ssize_t n = pread(fd, buffer, sizeof buffer, static_cast<off_t>(text.size()));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot read the plan");
        if (n == 0) break;
        text.append(buffer, static_cast<size_t>(n));
    }
    std::vector<PlannedSource> plan;
    size_t at = 0;
    while (at < text.size()) {
        const size_t end = text.find('\0', at);
        if (end == std::string::npos || end == at) {
            return Error{ErrorCode::kInvalidArgument,
                         "the plan is malformed at byte " + std::to_string(at)};
        }
        plan.push_back({text.substr(at, end - at), at});
        at = end + 1;
    }
    std::sort(plan.begin(), plan.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return plan;
}

Status write_whole(int fd, std::span<const std::byte> bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n =
            pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error("cannot write plan or image");
        done += static_cast<size_t>(n);
    }
    return Ok{};
}

bool interpreter_is_the_program() {
    Dl_info program{};
    Dl_info interpreter{};
    return dladdr(reinterpret_cast<const void*>(getauxval(AT_ENTRY)), &program) != 0 &&
           dladdr(&PyUnicode_Type, &interpreter) != 0 && program.dli_fbase == interpreter.dli_fbase;
}

class Build {
  public:
    explicit Build(Arguments arguments) : arguments_(std::move(arguments)) {}

    Status run() {
        ImageParameters& parameters = arguments_.parameters;
        const interp::Refusal refusal =
            interp::identify_interpreter(&parameters.interpreter, &parameters.runtime_base);
        if (refusal != nullptr) {
            return Error{ErrorCode::kBuildFailed,
                         std::string("this interpreter cannot be archived: ") + refusal};
        }
        // Nobody chooses where a program lies, only where its libraries do.
        if (parameters.runtime_base == 0 || interpreter_is_the_program()) arguments_.common_base = 0;
        // Who has it there writes little of the image: like processes of an interpreter that has a
        // fixed place, and unlike those that have to relocate all that they use.
        if (arguments_.common_base != 0) parameters.interpreter.at_common_base = 1;
        if (parameters.hashes) parameters.interpreter.hash_probe = interp::hash_probe();
        // Who runs the builder without randomisation wants images for processes without.
        const int persona = personality(0xffffffffUL);
        parameters.by_module = parameters.runtime_base != 0 && arguments_.common_base == 0 &&
                               persona != -1 && (persona & ADDR_NO_RANDOMIZE) == 0;
        fix_filename_ = imported("_imp", "_fix_co_filename");
        if (fix_filename_ == nullptr) {
            return Error{ErrorCode::kBuildFailed, "this interpreter has no _imp._fix_co_filename"};
        }
        PyObject* interned = pycds_interned_dict();
        if (interned == nullptr) {
            const void* variable = find_interned_dict_variable();
            arguments_.parameters.interned_dict = variable;
            if (variable != nullptr) interned = *static_cast<PyObject* const*>(variable);
        }
        graph_.note_startup_strings(interned);
        disable_collection();
        parameters.python = Py_GetVersion();
        std::replace(parameters.python.begin(), parameters.python.end(), '\n', ' ');

        if (arguments_.sources_fd >= 0) {
            const Status offered = take_offered();
            if (!offered) return offered;
        }
        Result<std::vector<PlannedSource>> plan = read_plan(arguments_.plan_fd);
        if (!plan) return std::move(plan).error();
        const Status gathered = gather(*plan);
        if (!gathered) return gathered;
        report("progress " + std::to_string(plan->size()) + " " + std::to_string(plan->size()));
        add_patterns();

        Result<std::vector<std::byte>> bytes =
            write_image(graph_, files_, left_out_, arguments_.parameters);
        if (!bytes) return std::move(bytes).error();
        const image::Verdict verdict = image::validate_image(bytes->data(), bytes->size());
        if (!verdict.ok()) {
            return Error{ErrorCode::kBuildFailed,
                         std::string("the image made does not validate: ") +
                             image::defect_text(verdict.defect) + " at offset " +
                             std::to_string(verdict.offset)};
        }
        const Status written = write_whole(arguments_.out_fd, *bytes);
        if (!written) return written;
        const Status same = compare_with_sources(bytes->size());
        if (!same || arguments_.common_base == 0) return same;
        // From here on nothing of it can be looked at where it lies.
        image::rebase(bytes->data(), arguments_.common_base);
        return write_whole(arguments_.out_fd, *bytes);
    }

  private:
    static PyObject* imported(const char* module_name, const char* name) {
        PyObject* module = PyImport_ImportModule(module_name);
        PyObject* value = module == nullptr ? nullptr : PyObject_GetAttrString(module, name);
        Py_XDECREF(module);
        PyErr_Clear();
        return value;
    }

    // Nothing made here is garbage, and there will be a lot of it. (PyGC_Disable() came with 3.10.)
    static void disable_collection() {
        PyObject* disable = imported("gc", "disable");
        PyObject* done = disable == nullptr ? nullptr : PyObject_CallNoArgs(disable);
        Py_XDECREF(done);
        Py_XDECREF(disable);
        PyErr_Clear();
    }

    void report(const std::string& line) const {
        const std::string text = line + "\n";
        // A daemon that does not listen any more is no reason to stop: it will kill us.
        [[maybe_unused]] const ssize_t n = ::write(arguments_.report_fd, text.data(), text.size());
    }

    // Writes the plan, which nobody knew before.
    Status take_offered() {
        Result<std::vector<OfferedSource>> offered =
            receive_offered(arguments_.sources_fd, pyc_request());
        if (!offered) return offered.error();
        close(arguments_.sources_fd);
        std::string plan;
        for (OfferedSource& source : *offered) {
            plan.append(source.path).push_back('\0');
            offered_[source.path] = std::move(source);
        }
        return write_whole(arguments_.plan_fd, std::as_bytes(std::span(plan.data(), plan.size())));
    }

    // First all files are read, then the builder confines itself, then their contents are believed.
    Status gather(const std::vector<PlannedSource>& plan) {
        report_progress(0, plan.size());
        std::vector<PycFile> files(plan.size());
        std::vector<std::optional<LeftOutReason>> reasons(plan.size());
        for (size_t i = 0; i < plan.size(); ++i) {
            const bool repeated = i != 0 && plan[i].path == plan[i - 1].path;
            reasons[i] = repeated ? LeftOutReason::kDuplicate : read_one(plan[i].path, &files[i]);
        }
        Whereabouts whereabouts(arguments_.out_fd);
        import_for_patterns();
        const Status confined = confine(arguments_.filter_fd);
        if (!confined) return confined;
        for (size_t i = 0; i < plan.size(); ++i) {
            report_progress(i, plan.size());
            whereabouts.at_source(plan[i].offset);
            if (!reasons[i]) reasons[i] = gather_one(plan[i].path, files[i]);
            // Longer than the system can open, longer than an image may hold.
            if (reasons[i]) {
                left_out_.push_back({plan[i].path.substr(0, image::kMaxPathSize), *reasons[i]});
            }
        }
        whereabouts.nowhere();
        return Ok{};
    }

    // What re's parser imports for \N{...}, since later nothing can be. Not when the interpreter
    // starts, or its names would be taken for those of every process.
    void import_for_patterns() const {
        if (arguments_.compile_patterns == nullptr) return;
        Py_XDECREF(PyImport_ImportModule("unicodedata"));
        PyErr_Clear();
    }

    void report_progress(size_t done, size_t total) const {
        constexpr size_t kEvery = 64;
        if (done % kEvery != 0) return;
        report("progress " + std::to_string(done) + " " + std::to_string(total));
    }

    PycRequest pyc_request() const {
        const image::InterpreterIdentity& interpreter = arguments_.parameters.interpreter;
        PycRequest request;
        request.cache_tag = interpreter.cache_tag;
        request.optimize = interpreter.optimize;
        request.magic_number = interpreter.magic_number;
        request.for_everybody = arguments_.parameters.domain == image::DomainKind::kSystem;
        return request;
    }

    std::optional<LeftOutReason> read_one(const std::string& path, PycFile* file) {
        if (arguments_.sources_fd >= 0) {
            OfferedSource& source = offered_.at(path);
            *file = std::move(source.file);
            return source.reason;
        }
        if (path.size() > image::kMaxPathSize) return LeftOutReason::kPath;
        PycRequest request = pyc_request();
        request.source = path;
        const std::optional<LeftOutReason> reason = read_pyc(request, file);
        if (reason) std::vector<unsigned char>().swap(file->data);
        return reason;
    }

    std::optional<LeftOutReason> gather_one(const std::string& path, PycFile& file) {
        const std::span<unsigned char> stream(file.data.data() + PycFile::kHeaderSize,
                                              file.data.size() - PycFile::kHeaderSize);
        constexpr MarshalledCode kCode{interp::kMarshalCounts, interp::kMarshalObjects,
                                       interp::kMarshalTables};
        const MarshalScan scan = scan_marshal(stream, kCode);
        if (!scan.ok) return LeftOutReason::kPycCorrupt;
        if (scan.nested_frozenset || scan.too_deep) return LeftOutReason::kConstant;
        PyObject* code = unmarshal(stream, path);
        if (code == nullptr) return LeftOutReason::kPycCorrupt;
        PyObject* twin = nullptr;
        if (!scan.frozensets.empty()) {
            // The same stream with each frozenset read as a tuple: both start with a type byte and
            // a 32-bit count, and number their references alike (marshal.c r_object()).
            for (const size_t at : scan.frozensets) {
                stream[at] = static_cast<unsigned char>((stream[at] & 0x80) | '(');
            }
            twin = unmarshal(stream, path);
            if (twin == nullptr) {
                Py_DECREF(code);
                return LeftOutReason::kPycCorrupt;
            }
        }
        Py_INCREF(code);
        const bool added = graph_.add_module(path, code, twin);
        if (added) look_for_patterns(code);
        Py_DECREF(code);
        Py_XDECREF(twin);
        if (!added) return LeftOutReason::kConstant;
        // Only the file's identity is needed from here on.
        std::vector<unsigned char>().swap(file.data);
        files_.push_back(std::move(file));
        return std::nullopt;
    }

    // Patterns are worth time, not correctness: where something fails there are none.
    void look_for_patterns(PyObject* code) const {
        if (arguments_.look_for_patterns == nullptr) return;
        PyObject* done = PyObject_CallOneArg(arguments_.look_for_patterns, code);
        Py_XDECREF(done);
        PyErr_Clear();
    }

    void add_patterns() {
        if (arguments_.compile_patterns == nullptr) return;
        // Never given back: the graph refers to what is in it.
        PyObject* entries = nullptr;
        PyObject* constants = nullptr;
        PyObject* both = PyObject_CallNoArgs(arguments_.compile_patterns);
        if (both != nullptr && PyArg_ParseTuple(both, "O!O!", &PyList_Type, &entries, &PyList_Type,
                                                &constants)) {
            for (Py_ssize_t i = 0; i < PyList_GET_SIZE(entries); ++i) {
                graph_.add_pattern(PyList_GET_ITEM(entries, i));
            }
            // re keeps what it has compiled in a dict.
            for (Py_ssize_t i = 0; i < PyList_GET_SIZE(constants); ++i) {
                graph_.note_hashed(PyList_GET_ITEM(constants, i));
            }
        }
        PyErr_Clear();
    }

    // What _bootstrap_external._compile_bytecode does: a code object whose file name is `path`.
    PyObject* unmarshal(std::span<const unsigned char> stream, const std::string& path) const {
        PyObject* code = PyMarshal_ReadObjectFromString(
            reinterpret_cast<const char*>(stream.data()), static_cast<Py_ssize_t>(stream.size()));
        if (code != nullptr && PyCode_Check(code)) {
            PyObject* name =
                PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size()));
            PyObject* done = name == nullptr
                                 ? nullptr
                                 : PyObject_CallFunctionObjArgs(fix_filename_, code, name, nullptr);
            Py_XDECREF(name);
            if (done != nullptr) {
                Py_DECREF(done);
                return code;
            }
        }
        PyErr_Clear();
        Py_XDECREF(code);
        return nullptr;
    }

    // The last check before anybody else sees the image: where it lies in memory, is every code
    // object equal to its source in the eyes of CPython itself? Not with frozensets that are empty until
    // they are handed out, nor with NaNs, which equal nothing.
    Status compare_with_sources(size_t size) {
        const uint64_t base = image::requested_base_of_slot(arguments_.parameters.slot);
        void* mapped = mmap(reinterpret_cast<void*>(base), size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_FIXED_NOREPLACE, arguments_.out_fd, 0);
        if (mapped != reinterpret_cast<void*>(base)) {
            if (mapped != MAP_FAILED) munmap(mapped, size);
            return errno_error("cannot map the image at its base");
        }
        if (interp::kHasHeapSingletons) put_singletons_in(static_cast<std::byte*>(mapped));
        for (const Module& module : graph_.modules()) {
            if (!is_comparable(module)) continue;
            auto* copy = reinterpret_cast<PyObject*>(base + graph_.nodes()[module.code].offset);
            const int equal = PyObject_RichCompareBool(copy, module.owner, Py_EQ);
            PyErr_Clear();
            if (equal != 1) {
                return Error{ErrorCode::kBuildFailed,
                             "the archived code of " + module.path + " differs from its source"};
            }
        }
        return Ok{};
    }

    // As a client does it for what it hands out.
    static void put_singletons_in(std::byte* image) {
        const auto& header = *reinterpret_cast<const image::Header*>(image);
        const image::RegionEntry& region =
            *image::find_region(header, image::RegionKind::kPtrmapExternal);
        const BitmapView external(reinterpret_cast<const uint64_t*>(image + region.offset),
                                  (header.objects_end - header.objects_begin) / sizeof(uint64_t));
        auto* words = reinterpret_cast<uint64_t*>(image + header.objects_begin);
        for (size_t i = external.find_next(0); i < external.size(); i = external.find_next(i + 1)) {
            if (!image::is_heap_singleton_address(words[i])) continue;
            const uint64_t number = image::heap_singleton_number(words[i]);
            words[i] = reinterpret_cast<uint64_t>(interp::heap_singleton(number));
        }
    }

    bool is_comparable(const Module& module) const {
        const auto begin = graph_.nodes().begin() + module.first_node;
        return std::none_of(begin, begin + module.node_count, [](const Node& node) {
            if (node.type == image::TypeIndex::kFrozenset) return !node.filled;
            if (node.type == image::TypeIndex::kFloat) {
                return std::isnan(PyFloat_AS_DOUBLE(node.source));
            }
            if (node.type != image::TypeIndex::kComplex) return false;
            return std::isnan(PyComplex_RealAsDouble(node.source)) ||
                   std::isnan(PyComplex_ImagAsDouble(node.source));
        });
    }

    Arguments arguments_;
    PyObject* fix_filename_ = nullptr;
    std::unordered_map<std::string, OfferedSource> offered_;  // by path
    ObjectGraph graph_{arguments_.parameters.hashes};
    std::vector<PycFile> files_;
    std::vector<LeftOut> left_out_;
};

PyObject* build(PyObject*, PyObject* args) {
    Arguments arguments;
    unsigned slot = 0;
    unsigned long long generation = 0;
    int system = 0;
    unsigned uid = 0;
    unsigned long long common_base = 0;
    int hashes = 0;
    const char* profile = nullptr;
    Py_ssize_t profile_size = 0;
    if (!PyArg_ParseTuple(args, "iiiiIKpIy#OOKip:build", &arguments.plan_fd, &arguments.out_fd,
                          &arguments.report_fd, &arguments.filter_fd, &slot, &generation, &system,
                          &uid, &profile, &profile_size, &arguments.look_for_patterns,
                          &arguments.compile_patterns, &common_base, &arguments.sources_fd, &hashes)) {
        return nullptr;
    }
    if (arguments.look_for_patterns == Py_None) arguments.look_for_patterns = nullptr;
    if (arguments.compile_patterns == Py_None) arguments.compile_patterns = nullptr;
    if (slot >= image::kSlots) {
        PyErr_SetString(PyExc_ValueError, "slot out of range");
        return nullptr;
    }
    arguments.common_base = common_base;
    arguments.parameters.hashes = hashes != 0;
    arguments.parameters.slot = slot;
    arguments.parameters.generation = generation;
    arguments.parameters.domain = system ? image::DomainKind::kSystem : image::DomainKind::kUser;
    arguments.parameters.domain_uid = system ? 0 : uid;
    arguments.parameters.profile = Profile::parse({profile, static_cast<size_t>(profile_size)});
    // Leaked: the process ends next, and freeing a million objects would only take time.
    auto* work = new Build(std::move(arguments));
    try {
        const Status status = work->run();
        if (status.ok()) Py_RETURN_NONE;
        return PyUnicode_DecodeFSDefault(status.error().message.c_str());
    } catch (const std::bad_alloc&) {
        return PyUnicode_FromString(
            "out of memory: the builder has what pycdsd's --build-memory gives it");
    }
}

PyObject* record_process(PyObject*, PyObject* args) {
    int image_fd = -1;
    int pid = 0;
    if (!PyArg_ParseTuple(args, "ii:record", &image_fd, &pid)) return nullptr;
    const Result<std::string> lines = record(image_fd, pid);
    if (!lines.ok()) {
        PyErr_SetString(PyExc_ValueError, lines.error().message.c_str());
        return nullptr;
    }
    return PyBytes_FromStringAndSize(lines->data(), static_cast<Py_ssize_t>(lines->size()));
}

PyMethodDef methods[] = {
    {"build", build, METH_VARARGS,
     "build(plan_fd, out_fd, report_fd, filter_fd, slot, generation, system, uid, profile,\n"
     "look_for_patterns, compile_patterns, common_base, sources_fd, hashes) -> None or error text"},
    {"record", record_process, METH_VARARGS,
     "record(image_fd, pid) -> bytes\n\nLines of a profile of a process that maps the image."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef_Slot slots[] = {{0, nullptr}};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "_pycds_builder",
    "Makes heap images.",
    0,
    methods,
    slots,
    nullptr,
    nullptr,
    nullptr,
};

}  // namespace
}  // namespace pycds::builder

PyMODINIT_FUNC PyInit__pycds_builder(void) {
    return PyModuleDef_Init(&pycds::builder::definition);
}
