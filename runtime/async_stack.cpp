#include <cove/runtime/async_stack.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

namespace cove {
namespace {

// Why what waits here is canceled, or, behind a shield, why it is cleaning up; null if it is not.
const cancel_scope* canceled_around(const cancel_scope* scope) noexcept {
    while (scope != nullptr && !scope->is_canceled()) scope = scope->parent();
    return scope;
}

void print(const std::source_location& place, std::string& into) {
    if (place.line() == 0) return;
    into += text({"    at ", detail::file_name(place.file_name()), ":", place.line(), " in ",
                  detail::bare_name(place.function_name()), "\n"});
}

}  // namespace

std::string async_stacks(const cancel_scope& scope) {
    std::string whole;
    scope.for_each_waiter([&whole](const waiter& suspended) {
        whole += suspended.describe();
        if (const cancel_scope* ended = canceled_around(suspended.frame()->scope))
            whole += text({", ", ended->reason().to_string()});
        whole += '\n';
        for (const detail::promise_base* frame = suspended.frame(); frame != nullptr; frame = frame->awaited_by()) {
            print(frame->location, whole);
            if (frame->is_spawned()) print(detail::location_of(frame->spawned_at), whole);
        }
    });
    return whole;
}

std::string async_stacks() { return async_stacks(loop::current().root_scope()); }

}  // namespace cove
