#include <cove/runtime/async_stack.hpp>

#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/loop.hpp>

#include <string_view>

namespace cove {
namespace {

// Compilers spell a coroutine's name with its return type and parameters, or worse; its bare name stands before the
// first parenthesis.
std::string_view bare_name(std::string_view name) {
    constexpr std::string_view unnamed = "(anonymous namespace)::";
    if (const std::size_t at = name.find(unnamed); at != name.npos) name.remove_prefix(at + unnamed.size());
    name = name.substr(0, name.find('('));
    const std::size_t space = name.rfind(' ');
    return space == std::string_view::npos ? name : name.substr(space + 1);
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

std::string async_stacks(const cancel_scope& scope) {
    std::string text;
    scope.for_each_waiter([&text](const waiter& suspended) {
        text += suspended.describe() + '\n';
        for (const detail::promise_base* frame = suspended.frame(); frame != nullptr; frame = frame->continuation) {
            text += "    at ";
            text += file_name(frame->location.file_name());
            text += ':' + std::to_string(frame->location.line()) + " in ";
            text += bare_name(frame->location.function_name());
            text += '\n';
        }
    });
    return text;
}

std::string async_stacks() { return async_stacks(loop::current().root_scope()); }

}  // namespace cove
