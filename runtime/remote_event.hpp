// remote_event: an event that any thread sets and that coroutines of any loop, and threads, wait for.

#pragma once

#include <cove/runtime/detail/remote_gate.hpp>

#include <cstdint>
#include <string>
#include <utility>

namespace cove {

// A handle of a shared flag; copies share it. The flag lives as long as a handle does.
// While a handle exists, a loop that has waited for the flag counts as one that can still be woken.
// Concurrency: any thread, each handle in one at a time.
class remote_event {
public:
    class operation;

    // Throws: std::bad_alloc.
    remote_event();
    remote_event(const remote_event& other) noexcept;
    remote_event(remote_event&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    remote_event& operator=(remote_event other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~remote_event();

    // Sets the flag and ends every wait, even if it is reset at once.
    void set() noexcept;
    void reset() noexcept;
    bool is_set() const noexcept;

    // Waits until the flag is set, at any time from this call on. Cancellation: ends the wait. Throws: std::bad_alloc, in a
    // loop's first wait only. Lifetime: some handle must outlive the await.
    operation wait() noexcept;

    // The same for a thread that runs no loop: blocks it.
    void wait_blocking() noexcept;

private:
    struct shared;
    shared* shared_;
};

class [[nodiscard]] remote_event::operation final : public detail::remote_operation {
public:
    explicit operation(shared& waited_for) noexcept;
    void await_resume() const { throw_if_canceled(); }
    std::string describe() const override { return "remote_event"; }

private:
    bool try_locked() noexcept override;
    bool more_locked() const noexcept override { return false; }

    shared* shared_;
    std::uint64_t sets_before_;
};

}  // namespace cove
