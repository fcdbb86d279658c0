// What runs on this thread, and how one coroutine hands over to the next.
//
// A coroutine that awaits a task, and a task that has finished, name the frame that goes on and return to resume(),
// which resumes that one: a trampoline instead of symmetric transfer. Compilers do not turn symmetric transfer into a
// jump at -O0 or under sanitizers, and a loop that awaited finished tasks would overflow the stack there. This one
// never holds more than one coroutine's activation, at every level of optimisation.

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
    std::coroutine_handle<> handle;
    union {
        promise_base* continuation = nullptr;  // the frame that awaits this one
        place spawned_at;                      // while it stands in a group's list
    };
    cancel_scope* scope = nullptr;  // what cancels this frame's waits, inherited from whoever awaits or spawns it
    std::source_location location;  // of the co_await at which this frame last suspended; at first, of the coroutine

    static void* operator new(std::size_t size_bytes) { return frames.allocate(size_bytes); }
    static void operator delete(void* frame, std::size_t size_bytes) noexcept { frames.free(frame, size_bytes); }

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
    promise_base* current = nullptr;  // the frame that is being resumed
    promise_base* next = nullptr;     // the frame that goes on when the current one returns
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

// Runs a frame, and then each frame that is handed over to, until one suspends on something else.
inline void resume(promise_base& first) noexcept {
    promise_base* frame = &first;
    do {
        this_thread.next = nullptr;
        this_thread.current = frame;
        frame->handle.resume();
        frame = this_thread.next;
    } while (frame != nullptr);
    this_thread.current = nullptr;
}

}  // namespace cove::detail
