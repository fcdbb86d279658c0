// What a chat room's members must have been told, whatever has happened to them.
//
// The room tells everything to all in one order, and each connection is given a piece of that order: from its welcome on,
// without its own lines, with the answers to its own commands at the places where these took effect, and up to the line
// that says goodbye. So any two connections that were in the room together have been told the same meanwhile, to the
// byte. That, and who must have been told how much, is checked here.

#pragma once

#include <cove/runtime/clock.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace chat_model {

using cove::duration;
inline constexpr duration never = duration::max();

// What the last line says; none where the stream ended, if it did, without one.
enum class goodbye : unsigned char { none, bye, shutting_down, too_long, too_slow, silence, cut_short, error };

enum class command : unsigned char { who, nick, bad_nick, unknown, binary };

struct sent_line {
    std::uint32_t id;
    std::string nick;
    std::string text;
    duration sent;
    duration known = never;  // since when somebody knows that the room has told it
};

struct sent_command {
    command what;
    std::string argument;
    std::size_t lines_before;
    duration sent;
};

struct connection {
    std::uint32_t number = 0;
    std::string client;
    unsigned room = 0;  // which run of the server; 0: not known
    bool slow = false;  // does not read all the time
    duration connects_at = never;
    std::vector<sent_line> lines;
    std::vector<sent_command> commands;
    duration leaves_at = never;        // when it began to do what it expects the goodbye for
    goodbye expected = goodbye::none;  // none: any
    duration quiet_since = never;      // when it began to say its last, but for the goodbye
    duration ended_at = never;
    bool end_of_stream = false;  // it ended by that, and not by an error or by itself
    bool closes = false;         // closed it itself: it may end in any way
    bool room_lives = false;     // the server that it was connected to was there at the end
    std::string partial;         // of a line whose end did not come; or the error
    // What it was told:
    unsigned guest = 0;
    std::string nick;
    duration welcome_at = never;
    std::size_t answered = 0;  // of its commands
    goodbye said = goodbye::none;
    std::vector<std::uint32_t> told;                 // events, in order
    std::vector<std::int64_t> next;                  // line of each other connection; -1: any
    std::optional<std::vector<std::uint32_t>> here;  // the nicks in the room, once they are known
};

struct strictness {
    bool faults_allowed = false;  // connections may be lost
    duration delay_max = never;   // how late one who reads all the time is told what others know already
};

class room_model {
public:
    connection& add(std::string client) {
        connection& added = connections.emplace_back();
        added.number = static_cast<std::uint32_t>(connections.size() - 1);
        added.client = std::move(client);
        return added;
    }

    // The text of a line that is about to be sent.
    const std::string& say(connection& by, std::string_view filling, duration now) {
        const auto id = static_cast<std::uint32_t>(sender_of_.size() * 2 + 1);
        std::string text = std::to_string(by.number) + '/' + std::to_string(by.lines.size()) + ' ';
        text += filling;
        by.lines.push_back({id, by.nick, std::move(text), now});
        sender_of_.push_back(by.number);
        ++pushes_;
        return by.lines.back().text;
    }

    void ask(connection& by, command what, std::string argument, duration now) {
        by.commands.push_back({what, std::move(argument), by.lines.size(), now});
        ++pushes_;
    }
    // A line was read.
    void hear(connection& by, std::string_view line, duration now);

    // Whether more was told than an outbox holds.
    bool may_overflow() const { return pushes_ + 2 * connections.size() > 1024; }

    // Checks, at the end, what all connections know together. Throws std::logic_error.
    void check();

    [[noreturn]] static void violated(const connection& by, std::string_view rule, std::string_view got,
                                      std::string_view expected = {});

    strictness how;
    std::deque<connection> connections;

private:
    void hear_line(connection& by, std::string_view line, duration now);
    bool hear_notice(connection& by, std::string_view line, duration now);
    bool hear_answer(connection& by, std::string_view line, duration now);
    bool hear_goodbye(connection& by, std::string_view line, duration now);
    void take_answer(connection& by, command what, std::string_view line, duration now);
    void know(sent_line& line, const connection& by, duration now) const;
    void check_all_told(const connection& to) const;
    void check_same_told(const connection& earlier, const connection& later) const;
    void check_cut(const connection& earlier, const connection& later, const std::string& next) const;
    std::string text_of(std::uint32_t event) const;

    std::uint32_t id_of(std::string_view text) {
        const auto [found, added] = ids_.try_emplace(std::string(text), static_cast<std::uint32_t>(texts_.size() * 2));
        if (added) texts_.push_back(&found->first);
        return found->second;
    }

    std::size_t pushes_ = 0;                // at least as many as to any one member, but for who came and went
    std::vector<std::uint32_t> sender_of_;  // by a line's id / 2; its ids are odd
    std::unordered_map<std::string, std::uint32_t> ids_;  // of notices and nicks: even
    std::vector<const std::string*> texts_;
};

inline void room_model::violated(const connection& by, std::string_view rule, std::string_view got,
                                 std::string_view expected) {
    std::string text = by.client + ", connection " + std::to_string(by.number) + " (guest" + std::to_string(by.guest) +
                       ", " + std::to_string(by.told.size()) + " told): ";
    text.append(rule).append(": \"").append(got).append("\"");
    throw std::logic_error(expected.empty() ? text : text.append(", expected \"").append(expected).append("\""));
}

inline void room_model::know(sent_line& line, const connection& by, duration now) const {
    if (line.known == never)
        line.known = now;
    else if (!by.slow && now - line.known > how.delay_max)
        violated(by, "told " + std::to_string((now - line.known).count()) + " ns after others", line.text);
}

inline void room_model::hear(connection& by, std::string_view line, duration now) {
    if (by.said != goodbye::none) violated(by, "told something after the goodbye", line);
    if (by.guest == 0) {
        constexpr std::string_view before = "* welcome, guest", after = ": /nick NAME, /who, /quit";
        if (!line.starts_with(before) || !line.ends_with(after)) violated(by, "told before its welcome", line);
        const std::string_view number = line.substr(before.size(), line.size() - before.size() - after.size());
        std::from_chars(number.data(), number.data() + number.size(), by.guest);
        if (number != std::to_string(by.guest) || by.guest == 0) violated(by, "not a guest's number", line);
        by.nick = "guest" + std::to_string(by.guest);
        by.welcome_at = now;
        if (by.guest == 1) by.here = {id_of(by.nick)};
        return;
    }
    if (!line.starts_with("* ")) return hear_line(by, line, now);
    if (!hear_notice(by, line, now) && !hear_answer(by, line, now) && !hear_goodbye(by, line, now))
        violated(by, "told something of no known form", line);
}

inline void room_model::hear_line(connection& by, std::string_view line, duration now) {
    const std::size_t colon = std::min(line.find(": "), line.size());
    const std::string_view text = line.substr(std::min(colon + 2, line.size()));
    std::uint32_t number = 0;
    std::size_t index = 0;
    const auto slash = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
    if (slash == text.data() + text.size() || *slash != '/') violated(by, "told a line of nobody", line);
    std::from_chars(slash + 1, text.data() + text.size(), index);
    if (number >= connections.size() || index >= connections[number].lines.size())
        violated(by, "told a line that nobody has sent", line);
    connection& sender = connections[number];
    sent_line& original = sender.lines[index];
    if (&sender == &by) violated(by, "told its own line", line);
    if (line.substr(0, colon) != original.nick || text != original.text)
        violated(by, "told a line that was changed", line, original.nick + ": " + original.text);
    if (by.room != 0 && sender.room != 0 && by.room != sender.room)
        violated(by, "told a line of an earlier room", line);
    if (by.next.size() <= number) by.next.resize(connections.size(), -1);
    std::int64_t& next = by.next[number];
    if (next < 0 && sender.guest > by.guest && by.room != 0 && by.room == sender.room) next = 0;
    if (next >= 0 && static_cast<std::int64_t>(index) != next)
        violated(by, "told the lines of a sender out of order", line,
                 sender.lines[static_cast<std::size_t>(next)].text);
    next = static_cast<std::int64_t>(index) + 1;
    if (by.here && std::find(by.here->begin(), by.here->end(), id_of(original.nick)) == by.here->end())
        violated(by, "told a line by somebody who is not in the room", line);
    know(original, by, now);
    by.told.push_back(original.id);
}

inline bool room_model::hear_notice(connection& by, std::string_view line, duration now) {
    constexpr std::string_view renamed = " is now ";
    const std::size_t space = line.find(' ', 2);
    if (space == line.npos) return false;
    const std::string_view nick = line.substr(2, space - 2), what = line.substr(space);
    const auto place_of = [&](std::uint32_t id) { return std::find(by.here->begin(), by.here->end(), id); };
    if (what == " joined" || what == " left") {
        if (nick == by.nick) violated(by, "told that it has come or gone itself", line);
        if (by.here) {
            const auto place = place_of(id_of(nick));
            if ((place == by.here->end()) != (what == " joined")) violated(by, "told what cannot be", line);
            if (place == by.here->end())
                by.here->push_back(id_of(nick));
            else
                by.here->erase(place);
        }
    } else if (what.starts_with(renamed)) {
        const std::string_view chosen = what.substr(renamed.size());
        if (by.here) {
            const auto place = place_of(id_of(nick));
            if (place == by.here->end() || place_of(id_of(chosen)) != by.here->end())
                violated(by, "told what cannot be", line);
            *place = id_of(chosen);
        }
        if (nick == by.nick) {
            if (by.answered < by.commands.size() && by.commands[by.answered].argument != chosen)
                violated(by, "given a nick that it did not ask for", line, by.commands[by.answered].argument);
            take_answer(by, command::nick, line, now);
            by.nick = chosen;
        }
    } else {
        return false;
    }
    by.told.push_back(id_of(line));
    return true;
}

// Whoever has an answer knows that the lines before its command have been told.
inline void room_model::take_answer(connection& by, command what, std::string_view line, duration now) {
    if (by.answered == by.commands.size()) violated(by, "answered without having asked", line);
    const sent_command& asked = by.commands[by.answered++];
    if (asked.what != what) violated(by, "given the answer to something else", line);
    // The server reads a line in ten milliseconds.
    const duration longest = std::chrono::milliseconds(25) * (asked.lines_before + by.answered + 4);
    if (!by.slow && how.delay_max != never && now - asked.sent > longest + how.delay_max)
        violated(by, "answered late, after " + std::to_string((now - asked.sent).count()) + " ns", line);
    if (asked.lines_before > 0) {
        sent_line& last = by.lines[asked.lines_before - 1];
        last.known = std::min(last.known, now);
    }
}

inline bool room_model::hear_answer(connection& by, std::string_view line, duration now) {
    constexpr std::string_view here = "* here:";
    if (line.starts_with(here)) {
        std::vector<std::uint32_t> names;
        for (std::size_t at = here.size(); at < line.size();) {
            const std::size_t end = std::min(line.find(' ', at + 1), line.size());
            names.push_back(id_of(line.substr(at + 1, end - at - 1)));
            at = end;
        }
        if (by.here && *by.here != names) {
            std::string expected = "* here:";
            for (const std::uint32_t each : *by.here) expected += ' ' + *texts_[each / 2];
            violated(by, "told a wrong list of who is here", line, expected);
        }
        if (std::count(names.begin(), names.end(), id_of(by.nick)) != 1) violated(by, "not in its own room once", line);
        by.here = std::move(names);
        take_answer(by, command::who, line, now);
    } else if (line.ends_with(" is taken")) {
        const std::string_view nick = line.substr(2, line.find(' ', 2) - 2);
        if (by.here && std::find(by.here->begin(), by.here->end(), id_of(nick)) == by.here->end())
            violated(by, "told that a free nick is taken", line);
        if (by.answered < by.commands.size() && by.commands[by.answered].argument != nick)
            violated(by, "told of a nick that it did not ask for", line, by.commands[by.answered].argument);
        take_answer(by, command::nick, line, now);
    } else {
        static constexpr std::pair<std::string_view, command> refusals[] = {
            {"* a nick has 1 to 24 letters, digits, - and _", command::bad_nick},
            {"* the commands are /nick NAME, /who and /quit", command::unknown},
            {"* text only, please", command::binary}};
        const auto* refused = std::find_if(std::begin(refusals), std::end(refusals),
                                           [&](const auto& each) { return each.first == line; });
        if (refused == std::end(refusals)) return false;
        take_answer(by, refused->second, line, now);
    }
    return true;
}

inline bool room_model::hear_goodbye(connection& by, std::string_view line, duration now) {
    static constexpr std::pair<std::string_view, goodbye> known[] = {
        {"* bye", goodbye::bye},
        {"* the server is shutting down", goodbye::shutting_down},
        {"* the line is too long", goodbye::too_long},
        {"* reading was too slow", goodbye::too_slow},
        {"* timed out", goodbye::silence},
        {"* the stream ended too early", goodbye::cut_short}};
    by.said = how.faults_allowed ? goodbye::error : goodbye::none;
    for (const auto& [text, meant] : known)
        if (line == text) by.said = meant;
    const bool asked = by.expected == by.said && by.leaves_at != never;
    const bool unasked = by.said == goodbye::too_slow || by.said == goodbye::silence || how.faults_allowed;
    if (by.said != goodbye::none && !asked && !unasked) violated(by, "told goodbye without having asked for it", line);
    if (by.said == goodbye::bye) {
        if (!asked) violated(by, "told bye without having left", line);
        if (by.answered != by.commands.size()) violated(by, "told bye instead of an answer", line);
        if (!by.lines.empty()) by.lines.back().known = std::min(by.lines.back().known, now);
    }
    return by.said != goodbye::none;
}

inline std::string room_model::text_of(std::uint32_t event) const {
    if (event % 2 == 0) return *texts_[event / 2];
    const auto& lines = connections[sender_of_[event / 2]].lines;
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const auto& each) { return each.id == event; });
    return found->nick + ": " + found->text;
}

// Who was in the room before a line was sent, and left in order after it was told, must have it. So must those whom the
// shutdown found there.
inline void room_model::check_all_told(const connection& to) const {
    if (to.said != goodbye::bye && to.said != goodbye::shutting_down) return;
    for (const connection& sender : connections) {
        if (&sender == &to || to.room == 0 || sender.room != to.room) continue;
        const auto unknown = std::partition_point(sender.lines.begin(), sender.lines.end(),
                                                  [&](const sent_line& each) { return each.known < to.leaves_at; });
        if (unknown == sender.lines.begin()) continue;
        const sent_line& last = *std::prev(unknown);
        if (last.sent > to.welcome_at && to.next[sender.number] < unknown - sender.lines.begin())
            violated(to, "left in order without having been told", last.text);
    }
}

// What the later one was told is what the earlier one was told after it had come, but for what they said themselves.
inline void room_model::check_same_told(const connection& earlier, const connection& later) const {
    const auto joined = ids_.find("* guest" + std::to_string(later.guest) + " joined");
    const auto& before = earlier.told;
    auto at = joined == ids_.end() ? before.end() : std::find(before.begin(), before.end(), joined->second);
    if (at == before.end()) {
        const bool was_there = earlier.welcome_at < later.connects_at && later.welcome_at < earlier.leaves_at;
        if (was_there && earlier.said == goodbye::bye)
            violated(earlier, "left in order without having been told", later.client + " joined");
        const auto is_line = [](std::uint32_t each) { return each % 2 == 1; };
        const auto last = std::find_if(before.rbegin(), before.rend(), is_line);
        if (last != before.rend() && std::find(later.told.begin(), later.told.end(), *last) != later.told.end())
            violated(earlier, "told something later, but not that it has come", text_of(*last), later.client);
        return;
    }
    ++at;
    const auto skip = [this](auto from, auto end, const connection& speaker) {
        while (from != end && *from % 2 == 1 && sender_of_[*from / 2] == speaker.number) ++from;
        return from;
    };
    for (auto other = later.told.begin();; ++at, ++other) {
        at = skip(at, before.end(), later);
        other = skip(other, later.told.end(), earlier);
        if (at != before.end() && other == later.told.end()) check_cut(earlier, later, text_of(*at));
        if (at == before.end() || other == later.told.end()) break;
        if (*at != *other) violated(later, "told something else than " + earlier.client, text_of(*other), text_of(*at));
    }
}

// A part of a line at the end is one of what would have come next, which may be what the earlier one said itself.
inline void room_model::check_cut(const connection& earlier, const connection& later, const std::string& next) const {
    if (!later.end_of_stream || later.partial.starts_with("* ") || next.starts_with(later.partial)) return;
    for (const sent_line& own : earlier.lines)
        if ((own.nick + ": " + own.text).starts_with(later.partial)) return;
    violated(later, "cut off in something else than " + earlier.client + " was told", later.partial, next);
}

inline void room_model::check() {
    std::unordered_map<unsigned, std::vector<connection*>> rooms;
    for (connection& each : connections) {
        for (std::size_t i = each.lines.size(); i > 1; --i)
            each.lines[i - 2].known = std::min(each.lines[i - 2].known, each.lines[i - 1].known);
        each.next.resize(connections.size(), -1);
        if (each.room != 0 && each.guest != 0) rooms[each.room].push_back(&each);
    }
    for (auto& [number, members] : rooms) {
        std::sort(members.begin(), members.end(), [](auto* a, auto* b) { return a->guest < b->guest; });
        for (std::size_t i = 0; i < members.size(); ++i) {
            check_all_told(*members[i]);
            if (i > 0 && members[i]->guest == members[i - 1]->guest)
                violated(*members[i], "welcomed as a guest that is there already", members[i]->nick);
            // All pairs of few; of many the nearest, and some that were told much.
            for (std::size_t j = i > 8 ? i - 4 : 0; j < i; ++j) check_same_told(*members[j], *members[i]);
            for (std::size_t j = 0; i > 8 && j < 4; ++j) check_same_told(*members[j], *members[i]);
        }
    }
}

}  // namespace chat_model
