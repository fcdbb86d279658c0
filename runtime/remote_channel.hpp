// remote_channel<T>: a bounded queue between loops and threads.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/remote_gate.hpp>
#include <cove/runtime/detail/ring.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/result.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace cove {

// A handle of a shared queue; copies share it, and it lives as long as one of them does. Each item goes to one receiver,
// in order. An item leaves the queue at the moment its receiver goes on, so cancellation loses none. The coroutines of one
// loop are served in the order they came; between loops and threads there is no order.
// While a handle exists, a loop that has waited on the queue counts as one that can still be woken.
// Concurrency: any thread, each handle in one at a time. Lifetime: some handle must outlive every await.
template <class T>
class remote_channel {
    static_assert(std::is_nothrow_move_constructible_v<T>, "an item that is on its way must not get lost by a throw");
    struct shared;

public:
    class receive_operation;
    template <class Item>
    class send_operation;

    // capacity: how many items the queue holds; 0 is taken for 1. Throws: std::bad_alloc.
    explicit remote_channel(std::size_t capacity) : shared_(new shared(capacity > 0 ? capacity : 1)) {}
    remote_channel(const remote_channel& other) noexcept : shared_(other.shared_) { shared_->hold(); }
    remote_channel(remote_channel&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    remote_channel& operator=(remote_channel other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~remote_channel() {
        if (shared_ != nullptr) shared_->let_go();
    }

    // Sends an item, and waits for room. Throws: std::system_error (errc::closed) when the channel is or gets closed first;
    // std::bad_alloc, in a loop's first wait only. Cancellation: the item has not been sent. Whenever it was not sent, what
    // was given as an rvalue has not been moved from. Lifetime: item must outlive the await; an lvalue is copied.
    send_operation<T&> send(T&& item COVE_LIFETIMEBOUND) noexcept { return send_operation<T&>(*shared_, item); }
    send_operation<T> send(const T& item) { return send_operation<T>(*shared_, item); }

    // Waits for the next item. Result: empty when the channel is closed and all items have been received.
    // Throws: std::bad_alloc, in a loop's first wait only. Cancellation: takes nothing.
    receive_operation receive() noexcept { return receive_operation(*shared_); }

    // Never wait: return false, and have not moved from item, where there is no room, and empty where there is no item.
    bool try_send(T&& item) noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        return shared_->send(std::move(item));
    }
    std::optional<T> try_receive() noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        std::optional<T> taken;
        shared_->receive(taken);
        return taken;
    }

    // As send() and receive(), for threads that run no loop, which they block. send_blocking returns false when the channel
    // is or gets closed.
    bool send_blocking(T item) noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        bool sent = false;
        shared_->room.block_until([&] { return (sent = shared_->send(std::move(item))) || shared_->closed; });
        if (shared_->has_room()) shared_->room.notify_one();
        return sent;
    }
    std::optional<T> receive_blocking() noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        std::optional<T> taken;
        shared_->filled.block_until([&] { return shared_->receive(taken) || shared_->closed; });
        if (shared_->has_items()) shared_->filled.notify_one();
        return taken;
    }

    // Takes no more items. Those that are in the channel can still be received; senders that wait are refused.
    void close() noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        shared_->closed = true;
        shared_->filled.notify_all();
        shared_->room.notify_all();
    }

    std::size_t size() const noexcept {
        const detail::monitor::lock guard(shared_->guarded);
        return shared_->items.size();
    }

private:
    shared* shared_;
};

// Everything here needs the lock.
template <class T>
struct remote_channel<T>::shared final : detail::remote_object {
    explicit shared(std::size_t capacity) : items(capacity) {}

    bool has_items() const noexcept { return items.size() > 0; }
    bool has_room() const noexcept { return items.size() < items.capacity(); }

    bool send(T&& item) noexcept {
        if (closed || !has_room()) return false;
        items.push(std::move(item));
        filled.notify_one();
        return true;
    }
    bool receive(std::optional<T>& into) noexcept {
        if (!has_items()) return false;
        into.emplace(items.pop());
        room.notify_one();
        return true;
    }

    detail::ring<T> items;
    bool closed = false;
    detail::remote_gate filled{*this, true};
    detail::remote_gate room{*this, true};
};

// Item is T& where the item stays with the caller until it is sent, T where the operation holds a copy.
template <class T>
template <class Item>
class [[nodiscard]] remote_channel<T>::send_operation final : public detail::remote_operation {
public:
    template <class From>
    send_operation(shared& to, From& item) : remote_operation(to, to.room), shared_(&to), item_(item) {}

    result<void> take_result() const {
        throw_if_canceled();
        if (!sent_) return make_error_code(errc::closed);
        return std::monostate();
    }
    void await_resume() const {
        const result<void> sent = take_result();
        if (!sent) throw std::system_error(sent.error(), "remote_channel::send");
    }
    std::string describe() const override { return "remote_channel: send"; }

private:
    bool try_locked() noexcept override { return (sent_ = shared_->send(std::move(item_))) || shared_->closed; }
    bool more_locked() const noexcept override { return shared_->has_room() || shared_->closed; }

    shared* shared_;
    Item item_;
    bool sent_ = false;
};

template <class T>
class [[nodiscard]] remote_channel<T>::receive_operation final : public detail::remote_operation {
public:
    explicit receive_operation(shared& from) noexcept : remote_operation(from, from.filled), shared_(&from) {}

    std::optional<T> await_resume() {
        throw_if_canceled();
        return std::exchange(item_, std::nullopt);
    }
    std::string describe() const override { return "remote_channel: receive"; }

private:
    bool try_locked() noexcept override { return shared_->receive(item_) || shared_->closed; }
    bool more_locked() const noexcept override { return shared_->has_items() || shared_->closed; }

    shared* shared_;
    std::optional<T> item_;
};

}  // namespace cove
