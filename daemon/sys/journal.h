// Events with their ids and fields into the journal (sd_journal_sendv(3)).
#pragma once

namespace pycds::sys {

// From now on log_event() sends to the journal, if that is where stderr goes; else nothing changes.
void send_events_to_journal();

}  // namespace pycds::sys
