// What runs on this thread, and how one coroutine hands over to the next.
//
// A task that is awaited runs there and then, on the stack of who awaits it: one that ends at once was a mere call, and
// nobody has suspended. Where too many stand on the stack already, and where a task ends that has waited, the frame that
// goes on is named in `current`, and all return to resume(), which resumes that one: a trampoline instead of symmetric
// transfer. Compilers do not turn symmetric transfer into a jump at -O0 or under sanitizers, and a loop that awaited
// finished tasks would overflow the stack there. This never holds more than nine activations, at every level of
// optimisation.

#pragma once

#include <cove/runtime/detail/frame_recycler.hpp>
#include <cove/runtime/detail/intrusive_list.hpp>

#include <bit>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <source_location>
#include <type_traits>

namespace cove {
class cancel_scope;
class loop;
}  // namespace cove

namespace cove::detail {

// Passes an awaiter through await_transform where it stands. A plain reference would do, but GCC 12 moves what an
// await_transform returns by reference into a second temporary.
template <class Awaiter>
class awaiter_reference {
public:
    explicit awaiter_reference(Awaiter& awaiter) noexcept : awaiter_(awaiter) {}

    bool await_ready() const { return awaiter_.await_ready(); }
    template <class Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) const {
        return awaiter_.await_suspend(awaiting);
    }
    decltype(auto) await_resume() const { return awaiter_.await_resume(); }

private:
    Awaiter& awaiter_;
};

struct child_tag;

// A source_location in the shape of a scalar: GCC gives default arguments of class type a place in the coroutine's frame.
using place = const void*;
inline place place_of(std::source_location where) noexcept { return std::bit_cast<place>(where); }
inline std::source_location location_of(place where) noexcept { return std::bit_cast<std::source_location>(where); }

// Awaits without taking note of the place, in a coroutine that users need not see in a stack.
template <class Awaiter>
struct unplaced {
    Awaiter& awaiter;
};

// What every cove coroutine's promise holds: enough to resume it, to cancel what it waits for, and to print the chain
// of frames that await one another. A frame that runs by itself stands in the list of the task_group that owns it.
struct promise_base : list_node<child_tag> {
    union {
        promise_base* continuation = nullptr;  // the frame that awaits this one
        place spawned_at;                      // while it stands in a group's list
    };
    cancel_scope* scope;            // what cancels this frame's waits: that of who awaits it, or its group; set then
    std::source_location location;  // of the co_await at which this frame last suspended; at first, of the coroutine

    static void* operator new(std::size_t size_bytes) { return frames.allocate(size_bytes); }
    static void operator delete(void* frame, std::size_t size_bytes) noexcept { frames.free(frame, size_bytes); }

    // The frame's address follows from that of its promise, which begins with this: see frame_of().
    std::coroutine_handle<> handle() const noexcept {
        return std::coroutine_handle<const promise_base>::from_promise(*this);
    }

    bool is_spawned() const noexcept { return linked(); }
    promise_base* awaited_by() const noexcept { return is_spawned() ? nullptr : continuation; }

    template <class Awaiter>
    awaiter_reference<std::remove_reference_t<Awaiter>> await_transform(
        Awaiter&& awaiter, place where = __builtin_source_location()) noexcept {
        location = location_of(where);
        return awaiter_reference<std::remove_reference_t<Awaiter>>(awaiter);
    }
    template <class Awaiter>
    awaiter_reference<Awaiter> await_transform(unplaced<Awaiter> passed) noexcept {
        return awaiter_reference<Awaiter>(passed.awaiter);
    }
};

// For a spawned frame: tell its group that it has thrown, inside the handler; and that it has ended, which destroys it.
void fail_spawned(promise_base& frame) noexcept;
void end_spawned(promise_base& frame) noexcept;

template <class Promise>
concept cove_promise = std::derived_from<Promise, promise_base>;

struct thread_state {
    loop* running = nullptr;          // the loop whose turn it is on this thread
    promise_base* current = nullptr;  // the frame that runs; on the way back to resume(): the one that goes on, or null
    int levels_left = 8;              // how many more tasks may run on the stack of who awaits them
    int destroying = 0;               // how many suspended frames are being destroyed, one inside another
};

inline constinit thread_local thread_state this_thread{};

// Returns where the running task is awaited, or was spawned.
inline std::source_location awaited_at() noexcept {
    const promise_base* running = this_thread.current;
    if (running == nullptr) return {};
    if (running->is_spawned()) return location_of(running->spawned_at);
    return running->continuation != nullptr ? running->continuation->location : std::source_location();
}

// Gives the frame of a promise, in which it has to stand where a promise_base would: derived from that first of all, and
// aligned to no more than a frame is.
template <class Promise>
std::coroutine_handle<Promise> frame_of(Promise& promise) noexcept {
    static_assert(alignof(Promise) <= 2 * sizeof(void*), "what a coroutine returns can be aligned to 16 bytes at most");
    static_assert(!std::is_polymorphic_v<Promise>);
    return std::coroutine_handle<Promise>::from_promise(promise);
}

// Runs a frame that is awaited, until it has ended or waits. Returns, as await_suspend() does, whether the awaiting one
// is suspended.
inline bool run_awaited(promise_base& awaited, promise_base& awaiting) noexcept {
    this_thread.current = &awaited;
    if (--this_thread.levels_left < 0) [[unlikely]] {
        ++this_thread.levels_left;
        return true;
    }
    awaited.handle().resume();
    ++this_thread.levels_left;
    if (this_thread.current == &awaiting) return false;
    if (this_thread.current == &awaited) this_thread.current = nullptr;  // it waits
    return true;
}

// Runs a frame, and then each frame that is handed over to, until one waits for something else.
inline void resume(promise_base& first) noexcept {
    promise_base* frame = nullptr;
    promise_base* next = &first;
    do {
        frame = next;
        this_thread.current = frame;
        frame->handle().resume();
        next = this_thread.current;
    } while (next != frame && next != nullptr);
    this_thread.current = nullptr;
}

}  // namespace cove::detail
