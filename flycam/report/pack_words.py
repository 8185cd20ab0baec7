"""Every word of the meeting pack in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.report.change_names import VOLUME_BASIS
from flycam.report.pack_slide_words import SLIDE_WORDS
from flycam.report.words import Said, phrase

PACK_WORDS: Mapping[str, Said] = {
    **SLIDE_WORDS,
    "motto": Said("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "SOCIALIST REPUBLIC OF VIET NAM"),
    "motto_below": Said("Độc lập - Tự do - Hạnh phúc", "Independence - Freedom - Happiness"),
    "number": Said("Số: {number}", "No.: {number}"),
    "dateline": Said("{place}, ngày {day} tháng {month} năm {year}", "{place}, {day}/{month}/{year}"),
    "title": Said("BÁO CÁO NHANH", "QUICK REPORT"),
    "about": Said(
        "Về hình ảnh bay chụp hiện trường bằng flycam – {events}",
        "On pictures of the scene taken from the air – {events}",
    ),
    "about_unnamed": Said(
        "Về hình ảnh bay chụp hiện trường bằng flycam, {period}",
        "On pictures of the scene taken from the air, {period}",
    ),
    "unnamed": Said("Hình ảnh bay chụp", "Pictures from the air"),
    "zone": Said("Mọi giờ trong gói này là giờ {zone}.", "All times in this pack are {zone}."),
    # files
    "file_pack": Said("goi-hop", "meeting-pack"),
    "file_report": Said("bao-cao-nhanh", "quick-report"),
    "file_sources": Said("nguon-anh.csv", "photo-sources.csv"),
    "file_vectors": Said("du-lieu.gpkg", "data.gpkg"),
    "file_earth": Said("ban-do.kmz", "map.kmz"),
    "file_tiles": Said("ban-do-{number}.pmtiles", "map-{number}.pmtiles"),
    "file_maps": Said("anh", "pictures"),
    "file_slides": Said("man-hinh", "slides"),
    "draft": Said("DỰ THẢO", "DRAFT"),
    "draft_note": Said(
        "Dự thảo, chưa có lãnh đạo phê duyệt; chưa dùng làm căn cứ quyết định.",
        "A draft that no leader has approved: not yet a basis for decisions.",
    ),
    "approved": Said("Người phê duyệt: {name}, lúc {at} ({zone}).", "Approved by {name} at {at} ({zone})."),
    "approved_alone": Said(
        "Người lập và người phê duyệt là một: {name}, lúc {at} ({zone}); chưa có người thứ hai kiểm tra.",
        "Asked for and approved by one person, {name}, at {at} ({zone}): nobody else has checked it.",
    ),
    "asked_by": Said("Người lập: {name}.", "Asked for by {name}."),
    "closing": Said(
        "Trên đây là báo cáo nhanh; kèm theo có trang riêng của từng xã ({count}), nguồn ảnh và mã băm.",
        "This is the quick report; a page for each commune ({count}), sources and hashes follow.",
    ),
    "internal_note": Said(
        "NỘI BỘ: không gửi ra ngoài cơ quan, đơn vị có tài khoản trên hệ thống.",
        "INTERNAL: not to be handed on to anybody without an account here.",
    ),
    "restricted_note": Said(
        "HẠN CHẾ: có địa bàn hoặc chuyến bay hạn chế; chỉ gửi người được phép.",
        "RESTRICTED: shows restricted ground or flights; for those alone who may see them.",
    ),
    "drill_note": Said(
        "Tài liệu diễn tập: không phải hiện trường thật.", "Made for a drill: not a real scene."
    ),
    "page": Said("Trang", "Page"),
    "footer": Said("flycam {version} · lập lúc {at} ({zone})", "flycam {version} · made {at} ({zone})"),
    # summary
    "summary": Said("1. Tóm tắt", "1. Summary"),
    "summary_said": Said(
        "Từ {period}, {flights} đã chụp {area} trên địa bàn {communes}. Ảnh mới nhất chụp lúc {last},"
        " cách lúc lập báo cáo {age}.",
        "Flights: {flights}, {period}, show {area} in {communes}. The newest picture was taken at {last},"
        " {age} before this report was made.",
    ),
    "flights_count": Said("{count} chuyến bay", "{count}"),
    "communes_count": Said("{count} xã, phường", "{count:commune|communes}"),
    "no_communes": Said("chưa có ranh giới xã", "an area without known commune boundaries"),
    "no_communes_said": Said(
        "Chưa có ranh giới xã cho vùng này.", "No commune boundaries are known for this area."
    ),
    "summary_limits": Said(
        "Ngoài phạm vi đã chụp (kẻ chéo trên bản đồ) là chưa bay chụp: không có nghĩa là không thiệt hại.",
        "Outside the ground shown (hatched on the map) nothing was flown: that does not mean no damage.",
    ),
    "covered": Said(
        "Chỗ kẻ chéo hay để trống cũng có thể là vùng che (nhà dân, nạn nhân): chỗ đó đã bay chụp.",
        "Ground that is hatched or left empty may also be covered by masks (homes, victims): it was imaged.",
    ),
    "operator_unknown": Said("không ghi", "not on record"),
    "no_changes": Said(
        "Chưa có thay đổi nào được xác nhận trong phạm vi đã chụp: không có nghĩa là không có gì thay đổi.",
        "No change is confirmed on the ground shown: that does not mean that nothing changed.",
    ),
    "changes_said": Said(
        "Thay đổi đã được người soát xét xác nhận trong phạm vi đã chụp: {kinds}; tổng diện tích {area}.",
        "Changes that an analyst confirmed on the ground shown: {kinds}; {area} together.",
    ),
    "counted_landslide": Said("{count} sạt lở", "{count:landslide|landslides}"),
    "counted_flood": Said("{count} ngập lụt", "{count:flood|floods}"),
    "counted_other": Said("{count} thay đổi khác", "{count:other change|other changes}"),
    "changes_same": Said(
        "Bản đồ và danh sách có {count} lần ghi nhận; những lần chồng lên nhau là cùng một nơi, chỉ tính"
        " một lần.",
        "Maps and lists have {count} of them; those that lie on each other are one place, counted once.",
    ),
    "waiting": Said(
        "{count} thay đổi máy nghi, chưa ai xem: {area}",
        "{count:change|changes} suspected by the program, seen by nobody yet: {area}",
    ),
    "waiting_sentence": Said(
        "Chờ soát xét: {said} ({kinds}). Chưa xác nhận, cũng chưa bác bỏ.",
        "Waiting for review: {said} ({kinds}). Neither confirmed nor rejected.",
    ),
    "waiting_elsewhere": Said(
        "Ngoài phạm vi này còn {count} thay đổi chờ soát xét, không nằm trong gói.",
        "Waiting for review on other ground, not in this pack: {count}.",
    ),
    "waiting_note": Said(
        "Chờ soát xét: số thay đổi máy nghi mà chưa ai xem và diện tích trong xã.",
        "Waiting: changes suspected by the program that nobody has looked at, and their ground there.",
    ),
    "rescue": Said(
        "NGƯỜI CẦN CỨU, {count} nơi: {marks}.", "PEOPLE TO RESCUE, {count:place|places}: {marks}."
    ),
    "rescue_mark": Said("dấu {number} ({status})", "mark {number} ({status})"),
    "reported": Said(
        "Dấu khác mới báo, chưa xác minh: {count} ({kinds}).",
        "Other marks, reported, not verified: {count} ({kinds}).",
    ),
    "marks_status": Said(
        "Tình trạng nói về việc xử lý, không phải là đã xác minh.",
        "The status tells of the work on it, not that it was verified.",
    ),
    "changes_elsewhere": Said(
        "Ngoài phạm vi này còn {count} thay đổi đã xác nhận, không nằm trong gói.",
        "Confirmed changes on other ground, not in this pack: {count}.",
    ),
    "troubles": Said("5. Sự cố theo các lớp và dấu", "5. Known trouble by layers and marks"),
    "troubles_note": Said(
        "Theo lời đơn vị quản lý lớp, vào lúc ghi; và dấu đường tắc mới báo hoặc đang xử lý. Không có trong"
        " bảng không có nghĩa là không có sự cố.",
        "As the owners of layers say, of the time told; and marks of blocked roads, reported or being dealt"
        " with. What is not in the table is not known to be without trouble.",
    ),
    "troubles_none": Said(
        "Chưa ghi nhận sự cố nào: không có nghĩa là không có sự cố.",
        "No trouble is known: that does not mean that there is none.",
    ),
    "troubles_telling": Said(
        "Các lớp có tình trạng: {layers}.", "Layers that say how things stand: {layers}."
    ),
    "troubles_untold": Said(
        "Chưa có lớp nào cho biết tình trạng (đường, trạm BTS, điện) ở các xã này: chưa biết.",
        "No layer says how things stand there (roads, masts, power): nothing is known.",
    ),
    "trouble_mark": Said("đường tắc (dấu)", "road blocked (mark)"),
    "trouble_mark_said": Said("dấu {number}: {note}", "mark {number}: {note}"),
    "troubles_more": Said("và {count} nữa", "and {count} more"),
    "without_name": Said("không tên", "without a name"),
    "changes": Said("6. Thay đổi đã xác nhận, theo xã, phường", "6. Confirmed changes by commune"),
    "settlements": Said("7. Thôn, bản", "7. Settlements"),
    "settlements_said": Said(
        "Theo người có trách nhiệm ghi: {counts}. Chưa rõ là chưa ai ghi; đường bị cắt chỉ là đề xuất.",
        "As people said: {counts}. Unknown is what nobody has said; cut roads only propose.",
    ),
    "settlements_more": Said(
        "Còn {count} nơi nữa; xem trong du-lieu.gpkg.", "Not listed here, but in data.gpkg: {count}."
    ),
    "nobody_said": Said("chưa ai ghi", "nobody has said"),
    "changes_loose": Said(
        "Thay đổi đã xác nhận ngoài các xã trên", "Confirmed changes outside these communes"
    ),
    "changes_here": Said("Thay đổi đã xác nhận", "Confirmed changes"),
    "no_changes_here": Said(
        "Chưa có thay đổi nào được xác nhận ở đây: không có nghĩa là không có gì thay đổi.",
        "No change is confirmed here: that does not mean that nothing changed.",
    ),
    "compared_here": Said(
        "Đã so hai ảnh để tìm thay đổi trên {pct} diện tích; phần còn lại chưa biết.",
        "Changes were looked for on {pct} of it, by two pictures; of the rest nothing is known.",
    ),
    "not_compared_here": Said(
        "Chưa so hai ảnh ở đây, nên không biết có thay đổi hay không.",
        "No two pictures were compared here: whether anything changed is not known.",
    ),
    "none_on_compared": Said(
        "Không có thay đổi nào được xác nhận trên phần đã so.", "No change is confirmed on what was compared."
    ),
    "changes_shared": Said(
        "Thay đổi chạm nhiều xã được tính ở mỗi xã, diện tích chỉ là phần nằm trong xã (phụ lục ghi phần đó"
        " và cả thay đổi): cộng các cột không ra số ở mục 1.",
        "A change that touches several communes counts in each, with only its ground there (annexes tell that"
        " and all of it): columns do not add up to the figures of section 1.",
    ),
    "size_here": Said("{here} trong xã này; cả thay đổi {whole}", "{here} in this commune; {whole} in all"),
    "of_whole": Said("Của cả thay đổi: {said}", "Of the whole change: {said}"),
    "volume_said": Said("Khối lượng: {said}", "Volume: {said}"),
    "volume_lost": Said("mất {value} ± {sigma} m³", "lost {value} ± {sigma} m³"),
    "volume_gained": Said("bồi {value} ± {sigma} m³", "gained {value} ± {sigma} m³"),
    "volume_nothing": Said("chưa vượt quá sai số", "no more than errors come to"),
    "volume_of": Said("đo trên {pct} vết trượt", "measured on {pct} of it"),
    "changes_sizes": Said(
        "± là một sigma: đường viền (máy vạch, hoặc vẽ tay) và vị trí ảnh sau so với ảnh trước; không phải"
        " sai số trên mặt đất.",
        "± is one sigma: of the outline (the detector's, or a hand's) and of the place, AFTER to BEFORE;"
        " it is not the error on the ground.",
    ),
    "changes_parts": Said(
        "Bảng theo xã chỉ tính phần trong xã; ở trang này, đường, nhà và khối lượng là của cả thay đổi.",
        "The table by commune counts what lies in the commune only; roads, houses and volumes on this page"
        " are those of the whole change.",
    ),
    "changes_volumes": Said(
        f"Khối lượng lấy từ bề mặt của hai chuyến bay, tính cả cây đã mất. {VOLUME_BASIS[0]}",
        f"Volumes are those between the surfaces of two flights, trees that went included. {VOLUME_BASIS[1]}",
    ),
    "pair_caption": Said(
        "{change}: trái, trước ({before}); phải, sau ({after}).",
        "{change}: before on the left ({before}), after on the right ({after}).",
    ),
    "pair_before": Said("TRƯỚC", "BEFORE"),
    "pair_after": Said("SAU", "AFTER"),
    "pair_drawn": Said(
        "{change}, vẽ tay trên hai ảnh này: trái, trước ({before}); phải, sau ({after}).",
        "{change}, drawn by hand over these two: before on the left ({before}), after on the right"
        " ({after}).",
    ),
    "seen_file": Said(
        "tệp {name}, hệ thống không giữ, để trống", "file {name}, which is not kept here and stays empty"
    ),
    "seen_nowhere": Said(
        "không còn hoặc không được xem, để trống", "gone or not to be shown, and stays empty"
    ),
    "seen_stands_in": Said(
        "bản đang hiển thị, không phải bản đã dùng", "the revision on show, not the one that was used"
    ),
    "seen_lost": Said(
        "thiếu mảnh ảnh nên để trống, hãy chạy flycam verify",
        "tiles missing, so that it stays empty: run flycam verify",
    ),
    "changes_doubted": Said(
        "Trong đó {count} thay đổi theo cặp ảnh kém chắc chắn.",
        "Of these {count:change is|changes are} of two doubtful pictures.",
    ),
    "pairs_doubted": Said(
        "{changes}: cặp ảnh kém chắc chắn. {doubt}.", "{changes}: of two doubtful pictures. {doubt}."
    ),
    "pairs_missing": Said(
        "Không có ảnh trước và sau của {changes}: vẽ tay mà không ghi cặp ảnh, tệp không giữ, hoặc không"
        " thuộc nhóm lớn nhất.",
        "Without pictures before and after: {changes} (drawn by hand over none that were named, of files that"
        " are not kept, or not among the largest).",
    ),
    "changes_near": Said(
        "Tính là ở gần: {near}. Chỉ đếm theo các lớp dữ liệu đã nạp; chưa có lớp là chưa biết, không phải là"
        " không có.",
        "Near is within: {near}. Counted by the layers that are known; where there is no layer nothing is"
        " known, which is not none.",
    ),
    "touches_nothing": Said(
        "không chạm đối tượng nào của các lớp hiện có", "touches nothing of the layers there are"
    ),
    "not_known_of": Said("chưa có lớp nên chưa biết: {kinds}", "not known, for there is no layer: {kinds}"),
    "no_layer": Said("chưa biết (không có lớp)", "not known (no layer)"),
    "none_by_layer": Said("không có, theo lớp hiện có", "none, by the layers there are"),
    "road_without_name": Said("đường không tên", "a road without a name"),
    "inside_and_near": Said("{inside} trong vùng, {near} ở gần", "{inside} inside, {near} near"),
    "inside": Said("{count} trong vùng", "{count} inside"),
    "near": Said("{count} ở gần", "{count} near"),
    "none_in_part": Said("chưa thấy, lớp chỉ phủ một phần", "none seen, the layers cover only a part"),
    "at_least": Said("ít nhất {said}", "at least {said}"),
    "by_layers": Said("Theo các lớp: {layers}.", "By these layers: {layers}."),
    "by_no_layers": Said(
        "Chưa có lớp dữ liệu nào phủ các thay đổi này.", "No layer covers the ground of these changes."
    ),
    "layer_dated": Said("{name}, số liệu lúc {at}{old}", "{name}, as of {at}{old}"),
    "layer_undated": Said("{name}, không rõ thời điểm{old}", "{name}, of an unknown time{old}"),
    "layer_old": Said(" (cũ)", " (old)"),
    "overview": Said("2. Bản đồ tổng quan", "2. Overview map"),
    "locator_caption": Said(
        "Vị trí: khung xanh là phạm vi bản đồ tổng quan; màu vàng: xã có ảnh, màu cam: xã có thay đổi đã xác"
        " nhận, số theo bảng; mũi tên chỉ hướng bắc.",
        "Where it is: the blue frame is the overview map; yellow: communes with pictures, orange: with"
        " confirmed changes, numbered as in the table; the arrow points north.",
    ),
    "overview_caption": Said(
        "Phạm vi đã chụp; ảnh mới nằm trên. Đường vàng: ranh giới xã, số theo bảng; kẻ chéo: chưa bay chụp.",
        "Ground shown, newer pictures on top. Yellow: commune boundaries, numbered as in the table;"
        " hatched: not flown.",
    ),
    "marks_caption": Said("Số đỏ: điểm đánh dấu thực địa.", "Red numbers: field marks."),
    "changes_caption": Said(
        "T và số, viền tím: thay đổi đã xác nhận.", "T and number, violet: confirmed changes."
    ),
    "flights": Said("3. Các chuyến bay", "3. Flights"),
    "not_complete": Said(
        "{number}. Chưa đủ ảnh khi lập báo cáo: chuyến bay còn đang bay hoặc đang nạp.",
        "{number}. Not complete when this was made: still in the air, or being read in.",
    ),
    "communes": Said("4. Theo xã, phường", "4. By commune"),
    "marks_shared": Said(
        "Khu vực tìm kiếm nằm trên nhiều xã được tính ở mỗi xã.",
        "A search sector over several communes counts in each.",
    ),
    "annex": Said("Phụ lục {number}. {name}", "Annex {number}. {name}"),
    "commune_caption": Said(
        "{name}: ảnh mới nhất lúc {last}, cách lúc lập báo cáo {age}; kẻ chéo: chưa bay chụp.",
        "{name}: newest picture {last}, {age} before this report; hatched: not flown.",
    ),
    "marks": Said("Điểm đánh dấu thực địa", "Field marks"),
    "marks_elsewhere": Said("Điểm đánh dấu ngoài các xã trên", "Field marks outside these communes"),
    "no_marks": Said("Chưa có điểm đánh dấu nào ở đây.", "Nothing is marked here."),
    "sources": Said("Nguồn và mã băm", "Sources and hashes"),
    "sources_said": Said(
        "Mỗi ảnh được ghi theo mã SHA-256 của bản gốc, bản gốc được giữ nguyên tới hết thời hạn lưu giữ."
        " Danh sách đầy đủ: nguon-anh.csv; mã băm của mọi tệp trong gói:"
        " manifest.sha256 (kiểm tra bằng sha256sum -c manifest.sha256).",
        "Each photo is named by the SHA-256 of its original, kept as it is while its term lasts."
        " The whole list: photo-sources.csv; hashes of every file of the pack:"
        " manifest.sha256 (sha256sum -c manifest.sha256 checks them).",
    ),
    "sources_many": Said(
        "Có {count} ảnh: chỉ liệt kê trong nguon-anh.csv.",
        "Photos: {count}, listed in photo-sources.csv only.",
    ),
    "sources_beside": Said(
        "Ảnh của các chuyến bay khác, dùng để chỉ mặt đất trước hoặc sau thay đổi:",
        "Photos of other flights, on which the ground before or after a change is shown:",
    ),
    "audit_said": Said(
        "Nhật ký khi lập gói; còn nguyên hay không kiểm tra bằng flycam audit verify --head SỐ:MÃ.",
        "The audit log as it was then; flycam audit verify --head NUMBER:DIGEST tells if it still stands.",
    ),
    "term_audit_number": Said("Dòng cuối, số", "Last line, number"),
    "term_audit_digest": Said("Mã băm của dòng cuối", "Digest of that line"),
    "term_audit_key": Said("Khoá ký của máy (Ed25519)", "The box's key (Ed25519)"),
    "term_audit_signature": Said("Chữ ký, nửa đầu", "Signature, first half"),
    "term_audit_signature_rest": Said("Chữ ký, nửa sau", "Signature, second half"),
    "no_audit": Said("Nhật ký chưa có dòng nào.", "The audit log has no line yet."),
    # columns and terms
    "col_number": Said("TT", "No."),
    "col_audit": Said("Nhật ký", "Audit log"),
    "col_audit_value": Said("Giá trị", "Value"),
    "col_flight": Said("Chuyến bay", "Flight"),
    "col_time": Said("Thời gian chụp", "Taken"),
    "col_operator": Said("Người bay", "Operator"),
    "col_gsd": Said("Độ phân giải", "GSD"),
    "col_error": Said("Sai số mặt đất", "Error on the ground"),
    "col_area": Said("Đã chụp", "Shown"),
    "col_pct": Said("Tỉ lệ", "Share"),
    "col_commune": Said("Xã, phường", "Commune"),
    "col_last": Said("Ảnh mới nhất", "Newest picture"),
    "col_age": Said("Cách đây", "Age"),
    "col_marks": Said("Đánh dấu", "Marks"),
    "col_waiting": Said("Chờ soát xét", "Waiting"),
    "col_kind": Said("Loại", "Kind"),
    "col_status": Said("Tình trạng", "Status"),
    "col_count": Said("Số thay đổi", "Changes"),
    "col_change_area": Said("Diện tích", "Area"),
    "col_roads_cut": Said("Đường bị cắt", "Roads cut"),
    "col_houses": Said("Nhà", "Houses"),
    "col_others": Said("Công trình khác", "Other works"),
    "col_touched": Said("Bị ảnh hưởng", "Touches"),
    "col_decided": Said("Người xác nhận, lúc", "Confirmed by, at"),
    "col_thing": Said("Đối tượng", "What"),
    "col_things": Said("Số", "How many"),
    "col_trouble": Said("Sự cố", "Trouble"),
    "col_told_by": Said("Nguồn, lúc", "By, as of"),
    "col_settlement": Said("Thôn, bản", "Settlement"),
    "col_access": Said("Tình trạng", "Access"),
    "col_roads_say": Said("Theo đường", "By roads"),
    "col_place": Said("Toạ độ", "Place"),
    "col_note": Said("Ghi chú", "Note"),
    "col_author": Said("Người báo, lúc", "By, at"),
    "col_photo": Said("Ảnh gốc", "Photo"),
    "col_sha256": Said("SHA-256", "SHA-256"),
    "term_area": Said("Diện tích đã chụp", "Ground shown"),
    "term_time": Said("Chụp từ", "Taken"),
    "term_age": Said("Tuổi ảnh mới nhất khi lập báo cáo", "Age of the newest picture when this was made"),
    "term_gsd": Said("Độ phân giải mặt đất", "Ground sample distance"),
    "term_flights": Said("Chuyến bay", "Flights"),
    "term_error": Said("Sai số trên mặt đất (1 sigma)", "Error on the ground (1 sigma)"),
    "share_of_communes": Said("{area} ({pct} diện tích)", "{area} ({pct} of their area)"),
    "share_of_commune": Said("{area} ({pct} diện tích xã)", "{area} ({pct} of the commune)"),
    "error_of": Said("{median}; 95 % trong {p95}", "{median}; 95 % within {p95}"),
    "shift_in_it": Said("gồm lệch chung {shift}", "common shift of {shift} included"),
    "shift_unknown": Said("chưa kể lệch chung: chưa rõ", "common shift not known, and not included"),
    "error_live": Said("chưa rõ (bản chưa hoàn thiện)", "not known (not finished)"),
    "error_unreported": Said("chưa rõ (chưa có báo cáo chất lượng)", "not known (no quality report)"),
    "on_plane": Said("không có địa hình, trải trên mặt phẳng", "no terrain known, laid on a plane"),
    "vn2000": Said(
        "VN-2000 X {x} Y {y} (KTT {meridian})", "VN-2000 X {x} Y {y} (central meridian {meridian})"
    ),
    "ago": Said("cách đây {age}", "{age} ago"),
    "age_minutes": Said("{count} phút", "{count:minute|minutes}"),
    "age_hours": Said("{count} giờ", "{count:hour|hours}"),
    "age_days": Said("{count} ngày", "{count:day|days}"),
    "age_years": Said("{count} năm", "{count:year|years}"),
    # the end of the document
    "recipients": Said("Nơi nhận:", "To:"),
    "dots": Said("…………………", "…………………"),
    # the folder
    "viewer_title": Said("Gói tài liệu họp", "Meeting pack"),
    "viewer_help": Said(
        "Chọn ảnh trong danh sách; cuộn chuột, nhấp đúp hoặc phím + − để phóng to, kéo để di chuyển, phím mũi"
        " tên để chuyển ảnh.",
        "Choose a picture in the list; scroll, double-click or press + and − to zoom, drag to move, arrow"
        " keys for the next one.",
    ),
    "viewer_unseen": Said(
        "Thay đổi đã xác nhận, không có ảnh trước và sau:",
        "Confirmed changes without pictures before and after:",
    ),
    "viewer_files": Said("Tệp", "Files"),
    "viewer_overview": Said("Tổng quan", "Overview"),
    "viewer_locator": Said("Vị trí trong tỉnh", "Where it is"),
}


def told(key: str, language: str, **values: object) -> str:
    """The phrase of the pack in "vi" or "en"; raises as `flycam.report.words.phrase`."""
    return phrase(PACK_WORDS, key, language, **values)


def head(language: str, *columns: str) -> tuple[str, ...]:
    """The head of a table, of columns by their keys."""
    return tuple(told(f"col_{name}", language) for name in columns)


def place_said(
    lonlat_deg: tuple[float, float], vn2000: tuple[float, float, float] | None, language: str
) -> str:
    """Coordinates as they are copied into other programs: with dots, in any language."""
    lon, lat = lonlat_deg
    said = f"{lat:.6f}, {lon:.6f}"
    if vn2000 is None:
        return said
    x, y, meridian_deg = vn2000
    degrees, minutes = divmod(round(meridian_deg * 60), 60)
    meridian = f"{degrees}°{minutes:02}′"
    return f"{said}; {told('vn2000', language, x=f'{x:.1f}', y=f'{y:.1f}', meridian=meridian)}"
