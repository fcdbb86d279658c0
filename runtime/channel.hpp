// channel<T>: a bounded queue between coroutines of one loop. Go's channel, asyncio's Queue, Trio's memory channel.
//
// An item leaves the channel at the moment its receiver goes on, never earlier: a receiver that is canceled or destroyed
// after it was called has taken nothing, and the next one is called in its place. So nothing is ever lost on the way.

#pragma once

#include <cove/runtime/attributes.hpp>
#include <cove/runtime/detail/queued_operation.hpp>
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

// Hands items from any number of senders to any number of receivers, each item to one of them, in order. Both sides are
// served first come, first served. T may be move-only.
// Concurrency: the thread of its loop; remote_channel is for several. Lifetime: must outlive its waiters.
template <class T>
class channel {
    static_assert(std::is_nothrow_move_constructible_v<T>, "an item that is on its way must not get lost by a throw");

public:
    class receive_operation;
    template <class Item>
    class send_operation;

    // capacity: how many items wait in the channel before senders do. With 0 each sender waits for its receiver.
    // Throws: std::bad_alloc.
    explicit channel(std::size_t capacity = 0) : items_(capacity) {}

    // Sends an item, and waits for room, or, with capacity 0, until it has been received.
    // Throws: std::system_error (errc::closed) when the channel is or gets closed first. Cancellation: the item has not
    // been sent. Whenever it was not sent, what was given as an rvalue has not been moved from.
    // Lifetime: item must outlive the await; an lvalue is copied.
    send_operation<T&> send(T&& item COVE_LIFETIMEBOUND) noexcept { return send_operation<T&>(*this, item); }
    send_operation<T> send(const T& item) { return send_operation<T>(*this, item); }

    // Sends an item if there is room; otherwise returns false and has not moved from it. With capacity 0 there never is:
    // no receiver can be held to its word.
    bool try_send(T&& item) noexcept;

    // Waits for the next item. Result: empty when the channel is closed and all items have been received:
    // `while (auto item = co_await channel.receive())`. Cancellation: takes nothing.
    receive_operation receive() noexcept { return receive_operation(*this); }

    // Takes the next item, if there is one that no waiting receiver has been called for.
    std::optional<T> try_receive() noexcept {
        std::optional<T> taken;
        if (available() > called_) take(taken);
        return taken;
    }

    // Takes no more items. Those that are in the channel can still be received; senders that wait are refused.
    void close() noexcept;
    bool is_closed() const noexcept { return closed_; }

    // How many items wait in the channel.
    std::size_t size() const noexcept { return items_.size(); }
    std::size_t capacity() const noexcept { return items_.capacity(); }

private:
    class sender;

    bool has_room() const noexcept { return items_.size() < items_.capacity(); }
    std::size_t available() const noexcept { return items_.size() + senders_size_; }
    void take(std::optional<T>& into) noexcept;
    void call_receivers() noexcept;

    detail::ring<T> items_;
    detail::intrusive_list<sender, detail::queue_tag> senders_;  // with what they send; only where there is no room
    std::size_t senders_size_ = 0;
    // The first called_ of the receivers have been called, each for an item (or because the channel is closed).
    detail::intrusive_list<receive_operation, detail::queue_tag> receivers_;
    receive_operation* first_uncalled_ = nullptr;
    std::size_t called_ = 0;
    bool closed_ = false;
};

template <class T>
class channel<T>::sender : public detail::queued_operation<channel<T>::sender> {
    using base = detail::queued_operation<sender>;

public:
    // As_result's way: without a throw.
    result<void> take_result() const {
        this->throw_if_canceled();
        if (refused_) return make_error_code(errc::closed);
        return std::monostate();
    }
    void await_resume() const {
        const result<void> sent = take_result();
        if (!sent) throw std::system_error(sent.error(), "channel::send");
    }
    std::string describe() const override { return "channel: send"; }

protected:
    explicit sender(channel& to) noexcept : channel_(&to) {}
    sender(const sender& other) noexcept : base(other), channel_(other.channel_) {}
    ~sender() { take_back(); }

private:
    friend base;
    friend class channel;

    virtual T& item() noexcept = 0;

    bool try_now() noexcept {
        refused_ = channel_->closed_;
        return refused_ || channel_->try_send(std::move(item()));
    }
    void enter() noexcept {
        channel_->senders_.push_back(*this);
        ++channel_->senders_size_;
        channel_->call_receivers();
    }
    void take_back() noexcept {
        if (!this->in_list()) return;
        this->leave_list();
        --channel_->senders_size_;
        channel_->call_receivers();
    }
    bool withdraw() noexcept override {
        take_back();
        return true;
    }

    channel* channel_;
    bool refused_ = false;
};

// Item is T& where the item stays with the caller until it is sent, T where the operation holds a copy.
template <class T>
template <class Item>
class [[nodiscard]] channel<T>::send_operation final : public channel<T>::sender {
public:
    // What another coroutine's receive() has taken cannot be given back: see select.
    static constexpr bool selectable = false;

    template <class From>
    send_operation(channel& to, From& item) : sender(to), item_(item) {}

private:
    T& item() noexcept override { return item_; }

    Item item_;
};

template <class T>
class [[nodiscard]] channel<T>::receive_operation final : public detail::queued_operation<receive_operation> {
    using base = detail::queued_operation<receive_operation>;

public:
    explicit receive_operation(channel& from) noexcept : channel_(&from) {}
    receive_operation(const receive_operation& other) noexcept : base(other), channel_(other.channel_) {}
    ~receive_operation() { leave(); }

    std::optional<T> await_resume() {
        this->throw_if_canceled();
        return std::exchange(item_, std::nullopt);
    }
    std::string describe() const override { return "channel: receive"; }

private:
    friend base;
    friend class channel;

    bool try_now() noexcept {
        if (channel_->available() > channel_->called_) channel_->take(item_);
        return item_.has_value() || (channel_->closed_ && channel_->available() == 0);
    }
    void enter() noexcept {
        channel_->receivers_.push_back(*this);
        if (channel_->first_uncalled_ == nullptr) channel_->first_uncalled_ = this;
        channel_->call_receivers();
    }
    void leave() noexcept {
        if (!this->in_list()) return;
        if (called_)
            --channel_->called_;
        else if (channel_->first_uncalled_ == this)
            channel_->first_uncalled_ = channel_->receivers_.next(*this);
        called_ = false;
        this->leave_list();
        channel_->call_receivers();
    }
    void take_or_enter() noexcept { enter(); }  // an item stays in the channel until its receiver goes on
    bool attempt() noexcept override {
        channel_->take(item_);
        leave();
        return true;
    }
    bool withdraw() noexcept override {
        leave();
        return true;
    }

    channel* channel_;
    bool called_ = false;
    std::optional<T> item_;
};

template <class T>
bool channel<T>::try_send(T&& item) noexcept {
    if (closed_ || !has_room()) return false;
    items_.push(std::move(item));
    call_receivers();
    return true;
}

// Takes the first item; there is one, unless the channel is closed.
template <class T>
void channel<T>::take(std::optional<T>& into) noexcept {
    if (items_.size() > 0) into.emplace(items_.pop());
    sender* first = senders_.pop_front();
    if (first == nullptr) return;
    --senders_size_;
    // What the first sender that waits has comes after what is in the channel.
    if (into)
        items_.push(std::move(first->item()));
    else
        into.emplace(std::move(first->item()));
    first->finish();
}

// Sees to it that as many receivers are called as there are items: further ones when an item has come, fewer when a
// sender that waited has taken its item back.
template <class T>
void channel<T>::call_receivers() noexcept {
    const std::size_t wanted = closed_ ? static_cast<std::size_t>(-1) : available();
    while (called_ < wanted && first_uncalled_ != nullptr) {
        ++called_;
        first_uncalled_->called_ = true;
        first_uncalled_->wake();
        first_uncalled_ = receivers_.next(*first_uncalled_);
    }
    while (called_ > wanted) {
        --called_;
        first_uncalled_ = first_uncalled_ != nullptr ? receivers_.previous(*first_uncalled_) : receivers_.back();
        first_uncalled_->called_ = false;
        first_uncalled_->runnable::unlink();
    }
}

template <class T>
void channel<T>::close() noexcept {
    if (closed_) return;
    closed_ = true;
    while (sender* first = senders_.pop_front()) {
        first->refused_ = true;
        first->finish();
    }
    senders_size_ = 0;
    call_receivers();
}

}  // namespace cove
