#include <cove/runtime/task.hpp>

#include <cove/runtime/text.hpp>

#include <atomic>
#include <cstdio>
#include <exception>
#include <string>

namespace cove {
namespace {

std::atomic<unawaited_handler> handler{nullptr};

std::string print(const std::source_location& place) {
    return text(
        {detail::file_name(place.file_name()), ":", place.line(), " in ", detail::bare_name(place.function_name())});
}

}  // namespace

unawaited_handler set_unawaited_handler(unawaited_handler wanted) noexcept { return handler.exchange(wanted); }

void detail::report_unawaited(const promise_base& frame) noexcept {
    if (this_thread.destroying > 0 || std::uncaught_exceptions() > 0) return;
    try {
        std::string report = text({"a task was never awaited: ", print(frame.location)});
        if (this_thread.current != nullptr) report += text({", dropped after ", print(this_thread.current->location)});
        if (const unawaited_handler set = handler.load())
            set(report.c_str());
        else
            std::fprintf(stderr, "cove: %s\n", report.c_str());
    } catch (const std::bad_alloc&) {
        // A report that finds no memory is not worth a failure.
    }
}

}  // namespace cove
