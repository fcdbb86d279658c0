// What a simulated descriptor stands for, and epoll: who is told when what it stands for changes.
//
// As in Linux (fs/eventpoll.c) a change calls the registrations of a file; each one that asked for it joins the ready
// list of its poller, once. A wait takes them from there and asks each file what it is ready for now: what is ready for
// nothing any more is passed over, what is level-triggered goes back to the end of the list.

#pragma once

#include <cove/runtime/kernel.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <vector>

namespace cove::sim::detail {

class file;
class poller;

// One registration with a poller.
struct interest {
    poller* home = nullptr;
    file* of = nullptr;
    int fd = -1;
    std::uint32_t bits = 0;
    std::uint64_t data = 0;
    bool is_ready = false;  // stands in the ready list
};

class file {
public:
    file() = default;
    file(const file&) = delete;
    file& operator=(const file&) = delete;
    virtual ~file() = default;

    // Returns what epoll would report now, of everything.
    virtual std::uint32_t ready_for() noexcept = 0;

    // The last descriptor was closed.
    virtual void close() = 0;

    // Tells those registrations that asked for any of the bits; 0 tells all.
    void changed(std::uint32_t bits);

    // Ends the registrations.
    void forget_interests() noexcept;

private:
    friend class poller;
    std::vector<interest*> interests_;
};

// What a poller needs of the machine that it is part of.
class poller_host {
public:
    // A registration has joined the ready list.
    virtual void has_events() = 0;
    // Whether an edge shall come late; then the machine calls poller::deliver(fd) later on.
    virtual bool delays(poller& from, int fd) = 0;

protected:
    ~poller_host() = default;
};

class poller final : public file, public std::enable_shared_from_this<poller> {
public:
    explicit poller(poller_host& home) noexcept : home_(home) {}
    ~poller() override;

    int add(file& watched, int fd, readiness_event asked);
    int modify(file& watched, int fd, readiness_event asked);
    int remove(file& watched, int fd) noexcept;

    // Stores up to events_max events and returns how many.
    int take(readiness_event* events, int events_max);

    bool has_ready() const noexcept { return !ready_.empty(); }

    // Stores an event of a registration that is not ready, as if somebody else had been faster: the chosen one of them,
    // counted round. Returns how many were stored, 0 or 1.
    int take_spurious(std::uint64_t chosen, readiness_event* events) noexcept;

    // A delayed edge arrives.
    void deliver(int fd);

    std::uint32_t ready_for() noexcept override;
    void close() override {}

private:
    friend class file;
    void call(interest& registered);
    void enqueue(interest& registered);
    void drop(interest& registered) noexcept;

    poller_host& home_;
    std::map<int, interest> interests_;  // by descriptor
    std::deque<interest*> ready_;
};

// An event counter: eventfd(2).
class event_counter final : public file {
public:
    // Adds one, unless it is full.
    void signal();
    std::uint32_t ready_for() noexcept override;
    void close() override {}

private:
    std::uint64_t count_ = 0;
};

}  // namespace cove::sim::detail
