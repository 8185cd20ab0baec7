"""Texts of the briefing pack in Vietnamese and English."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.report.change_names import VOLUME_BASIS
from flycam.report.pack_slide_texts import SLIDE_TEXTS
from flycam.report.texts import TranslatedText, format_phrase

PACK_TEXTS: Mapping[str, TranslatedText] = {
    **SLIDE_TEXTS,
    "motto": TranslatedText("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "SOCIALIST REPUBLIC OF VIET NAM"),
    "motto_below": TranslatedText("Độc lập - Tự do - Hạnh phúc", "Independence - Freedom - Happiness"),
    "number": TranslatedText("Số: {number}", "No.: {number}"),
    "dateline": TranslatedText(
        "{place}, ngày {day} tháng {month} năm {year}", "{place}, {day}/{month}/{year}"
    ),
    "title": TranslatedText("BÁO CÁO NHANH", "QUICK REPORT"),
    "about": TranslatedText(
        "Về hình ảnh bay chụp hiện trường bằng flycam – {events}",
        "On pictures of the scene taken from the air – {events}",
    ),
    "about_unnamed": TranslatedText(
        "Về hình ảnh bay chụp hiện trường bằng flycam, {period}",
        "On pictures of the scene taken from the air, {period}",
    ),
    "unnamed": TranslatedText("Hình ảnh bay chụp", "Pictures from the air"),
    "zone": TranslatedText("Mọi giờ trong gói này là giờ {zone}.", "All times in this pack are {zone}."),
    # files
    "file_pack": TranslatedText("goi-hop", "meeting-pack"),
    "file_report": TranslatedText("bao-cao-nhanh", "quick-report"),
    "file_sources": TranslatedText("nguon-anh.csv", "photo-sources.csv"),
    "file_vectors": TranslatedText("du-lieu.gpkg", "data.gpkg"),
    "file_earth": TranslatedText("ban-do.kmz", "map.kmz"),
    "file_tiles": TranslatedText("ban-do-{number}.pmtiles", "map-{number}.pmtiles"),
    "file_maps": TranslatedText("anh", "pictures"),
    "file_slides": TranslatedText("man-hinh", "slides"),
    "draft": TranslatedText("DỰ THẢO", "DRAFT"),
    "draft_note": TranslatedText(
        "Dự thảo, chưa có lãnh đạo phê duyệt; chưa dùng làm căn cứ quyết định.",
        "A draft that no leader has approved: not yet a basis for decisions.",
    ),
    "approved": TranslatedText(
        "Người phê duyệt: {name}, lúc {at} ({zone}).", "Approved by {name} at {at} ({zone})."
    ),
    "approved_alone": TranslatedText(
        "Người lập và người phê duyệt là một: {name}, lúc {at} ({zone}); chưa có người thứ hai kiểm tra.",
        "Asked for and approved by one person, {name}, at {at} ({zone}): nobody else has checked it.",
    ),
    "asked_by": TranslatedText("Người lập: {name}.", "Asked for by {name}."),
    "closing": TranslatedText(
        "Trên đây là báo cáo nhanh; kèm theo có trang riêng của từng xã ({count}), nguồn ảnh và mã băm.",
        "This is the quick report; a page for each commune ({count}), sources and hashes follow.",
    ),
    "internal_note": TranslatedText(
        "NỘI BỘ: không gửi ra ngoài cơ quan, đơn vị có tài khoản trên hệ thống.",
        "INTERNAL: not to be handed on to anybody without an account here.",
    ),
    "restricted_note": TranslatedText(
        "HẠN CHẾ: có địa bàn hoặc chuyến bay hạn chế; chỉ gửi người được phép.",
        "RESTRICTED: shows restricted ground or flights; for those alone who may see them.",
    ),
    "drill_note": TranslatedText(
        "Tài liệu diễn tập: không phải hiện trường thật.", "Made for a drill: not a real scene."
    ),
    "page": TranslatedText("Trang", "Page"),
    "footer": TranslatedText(
        "flycam {version} · lập lúc {at} ({zone})", "flycam {version} · made {at} ({zone})"
    ),
    # summary
    "summary": TranslatedText("1. Tóm tắt", "1. Summary"),
    "summary_said": TranslatedText(
        "Từ {period}, {flights} đã chụp {area} trên địa bàn {communes}. Ảnh mới nhất chụp lúc {last},"
        " cách lúc lập báo cáo {age}.",
        "Flights: {flights}, {period}, show {area} in {communes}. The newest picture was taken at {last},"
        " {age} before this report was made.",
    ),
    "flights_count": TranslatedText("{count} chuyến bay", "{count}"),
    "communes_count": TranslatedText("{count} xã, phường", "{count:commune|communes}"),
    "no_communes": TranslatedText("chưa có ranh giới xã", "an area without known commune boundaries"),
    "no_communes_said": TranslatedText(
        "Chưa có ranh giới xã cho vùng này.", "No commune boundaries are known for this area."
    ),
    "summary_limits": TranslatedText(
        "Ngoài phạm vi đã chụp (kẻ chéo trên bản đồ) là chưa bay chụp: không có nghĩa là không thiệt hại.",
        "Outside the ground shown (hatched on the map) nothing was flown: that does not mean no damage.",
    ),
    "covered": TranslatedText(
        "Chỗ kẻ chéo hay để trống cũng có thể là vùng che (nhà dân, nạn nhân): chỗ đó đã bay chụp.",
        "Ground that is hatched or left empty may also be covered by masks (homes, victims): it was imaged.",
    ),
    "operator_unknown": TranslatedText("không ghi", "not on record"),
    "no_changes": TranslatedText(
        "Chưa có thay đổi nào được xác nhận trong phạm vi đã chụp: không có nghĩa là không có gì thay đổi.",
        "No change is confirmed on the ground shown: that does not mean that nothing changed.",
    ),
    "changes_said": TranslatedText(
        "Thay đổi đã được người soát xét xác nhận trong phạm vi đã chụp: {kinds}; tổng diện tích {area}.",
        "Changes that an analyst confirmed on the ground shown: {kinds}; {area} together.",
    ),
    "counted_landslide": TranslatedText("{count} sạt lở", "{count:landslide|landslides}"),
    "counted_flood": TranslatedText("{count} ngập lụt", "{count:flood|floods}"),
    "counted_other": TranslatedText("{count} thay đổi khác", "{count:other change|other changes}"),
    "changes_same": TranslatedText(
        "Bản đồ và danh sách có {count} lần ghi nhận; những lần chồng lên nhau là cùng một nơi, chỉ tính"
        " một lần.",
        "Maps and lists have {count} of them; those that lie on each other are one place, counted once.",
    ),
    "waiting": TranslatedText(
        "{count} thay đổi máy nghi, chưa ai xem: {area}",
        "{count:change|changes} suspected by the program, seen by nobody yet: {area}",
    ),
    "waiting_sentence": TranslatedText(
        "Chờ soát xét: {said} ({kinds}). Chưa xác nhận, cũng chưa bác bỏ.",
        "Waiting for review: {said} ({kinds}). Neither confirmed nor rejected.",
    ),
    "waiting_elsewhere": TranslatedText(
        "Ngoài phạm vi này còn {count} thay đổi chờ soát xét, không nằm trong gói.",
        "Waiting for review on other ground, not in this pack: {count}.",
    ),
    "waiting_note": TranslatedText(
        "Chờ soát xét: số thay đổi máy nghi mà chưa ai xem và diện tích trong xã.",
        "Waiting: changes suspected by the program that nobody has looked at, and their ground there.",
    ),
    "rescue": TranslatedText(
        "NGƯỜI CẦN CỨU, {count} nơi: {marks}.", "PEOPLE TO RESCUE, {count:place|places}: {marks}."
    ),
    "rescue_mark": TranslatedText("dấu {number} ({status})", "mark {number} ({status})"),
    "reported": TranslatedText(
        "Dấu khác mới báo, chưa xác minh: {count} ({kinds}).",
        "Other marks, reported, not verified: {count} ({kinds}).",
    ),
    "marks_status": TranslatedText(
        "Tình trạng nói về việc xử lý, không phải là đã xác minh.",
        "The status tells of the work on it, not that it was verified.",
    ),
    "changes_elsewhere": TranslatedText(
        "Ngoài phạm vi này còn {count} thay đổi đã xác nhận, không nằm trong gói.",
        "Confirmed changes on other ground, not in this pack: {count}.",
    ),
    "troubles": TranslatedText("5. Sự cố theo các lớp và dấu", "5. Known trouble by layers and marks"),
    "troubles_note": TranslatedText(
        "Theo lời đơn vị quản lý lớp, vào lúc ghi; và dấu đường tắc mới báo hoặc đang xử lý. Không có trong"
        " bảng không có nghĩa là không có sự cố.",
        "As the owners of layers say, of the time told; and marks of blocked roads, reported or being dealt"
        " with. What is not in the table is not known to be without trouble.",
    ),
    "troubles_none": TranslatedText(
        "Chưa ghi nhận sự cố nào: không có nghĩa là không có sự cố.",
        "No trouble is known: that does not mean that there is none.",
    ),
    "troubles_telling": TranslatedText(
        "Các lớp có tình trạng: {layers}.", "Layers that say how things stand: {layers}."
    ),
    "troubles_untold": TranslatedText(
        "Chưa có lớp nào cho biết tình trạng (đường, trạm BTS, điện) ở các xã này: chưa biết.",
        "No layer says how things stand there (roads, masts, power): nothing is known.",
    ),
    "trouble_mark": TranslatedText("đường tắc (dấu)", "road blocked (mark)"),
    "trouble_mark_said": TranslatedText("dấu {number}: {note}", "mark {number}: {note}"),
    "troubles_more": TranslatedText("và {count} nữa", "and {count} more"),
    "without_name": TranslatedText("không tên", "without a name"),
    "changes": TranslatedText("6. Thay đổi đã xác nhận, theo xã, phường", "6. Confirmed changes by commune"),
    "settlements": TranslatedText("7. Thôn, bản", "7. Settlements"),
    "settlements_said": TranslatedText(
        "Theo người có trách nhiệm ghi: {counts}. Chưa rõ là chưa ai ghi; đường bị cắt chỉ là đề xuất.",
        "As people said: {counts}. Unknown is what nobody has said; cut roads only propose.",
    ),
    "settlements_more": TranslatedText(
        "Còn {count} nơi nữa; xem trong du-lieu.gpkg.", "Not listed here, but in data.gpkg: {count}."
    ),
    "nobody_said": TranslatedText("chưa ai ghi", "nobody has said"),
    "changes_loose": TranslatedText(
        "Thay đổi đã xác nhận ngoài các xã trên", "Confirmed changes outside these communes"
    ),
    "changes_here": TranslatedText("Thay đổi đã xác nhận", "Confirmed changes"),
    "no_changes_here": TranslatedText(
        "Chưa có thay đổi nào được xác nhận ở đây: không có nghĩa là không có gì thay đổi.",
        "No change is confirmed here: that does not mean that nothing changed.",
    ),
    "compared_here": TranslatedText(
        "Đã so hai ảnh để tìm thay đổi trên {pct} diện tích; phần còn lại chưa biết.",
        "Changes were looked for on {pct} of it, by two pictures; of the rest nothing is known.",
    ),
    "not_compared_here": TranslatedText(
        "Chưa so hai ảnh ở đây, nên không biết có thay đổi hay không.",
        "No two pictures were compared here: whether anything changed is not known.",
    ),
    "none_on_compared": TranslatedText(
        "Không có thay đổi nào được xác nhận trên phần đã so.", "No change is confirmed on what was compared."
    ),
    "changes_shared": TranslatedText(
        "Thay đổi chạm nhiều xã được tính ở mỗi xã, diện tích chỉ là phần nằm trong xã (phụ lục ghi phần đó"
        " và cả thay đổi): cộng các cột không ra số ở mục 1.",
        "A change that touches several communes counts in each, with only its ground there (annexes tell that"
        " and all of it): columns do not add up to the figures of section 1.",
    ),
    "size_here": TranslatedText(
        "{here} trong xã này; cả thay đổi {whole}", "{here} in this commune; {whole} in all"
    ),
    "of_whole": TranslatedText("Của cả thay đổi: {said}", "Of the whole change: {said}"),
    "volume_said": TranslatedText("Khối lượng: {said}", "Volume: {said}"),
    "volume_lost": TranslatedText("mất {value} ± {sigma} m³", "lost {value} ± {sigma} m³"),
    "volume_gained": TranslatedText("bồi {value} ± {sigma} m³", "gained {value} ± {sigma} m³"),
    "volume_nothing": TranslatedText("chưa vượt quá sai số", "no more than errors come to"),
    "volume_of": TranslatedText("đo trên {pct} vết trượt", "measured on {pct} of it"),
    "changes_sizes": TranslatedText(
        "± là một sigma: đường viền (máy vạch, hoặc vẽ tay) và vị trí ảnh sau so với ảnh trước; không phải"
        " sai số trên mặt đất.",
        "± is one sigma: of the outline (the detector's, or a hand's) and of the place, AFTER to BEFORE;"
        " it is not the error on the ground.",
    ),
    "changes_parts": TranslatedText(
        "Bảng theo xã chỉ tính phần trong xã; ở trang này, đường, nhà và khối lượng là của cả thay đổi.",
        "The table by commune counts what lies in the commune only; roads, houses and volumes on this page"
        " are those of the whole change.",
    ),
    "changes_volumes": TranslatedText(
        f"Khối lượng lấy từ bề mặt của hai chuyến bay, tính cả cây đã mất. {VOLUME_BASIS.in_language('vi')}",
        f"Volumes are those between the surfaces of two flights, trees that went included. {VOLUME_BASIS}",
    ),
    "pair_caption": TranslatedText(
        "{change}: trái, trước ({before}); phải, sau ({after}).",
        "{change}: before on the left ({before}), after on the right ({after}).",
    ),
    "pair_before": TranslatedText("TRƯỚC", "BEFORE"),
    "pair_after": TranslatedText("SAU", "AFTER"),
    "pair_drawn": TranslatedText(
        "{change}, vẽ tay trên hai ảnh này: trái, trước ({before}); phải, sau ({after}).",
        "{change}, drawn by hand over these two: before on the left ({before}), after on the right"
        " ({after}).",
    ),
    "seen_file": TranslatedText(
        "tệp {name}, hệ thống không giữ, để trống", "file {name}, which is not kept here and stays empty"
    ),
    "seen_nowhere": TranslatedText(
        "không còn hoặc không được xem, để trống", "gone or not to be shown, and stays empty"
    ),
    "seen_stands_in": TranslatedText(
        "bản đang hiển thị, không phải bản đã dùng", "the revision on show, not the one that was used"
    ),
    "seen_lost": TranslatedText(
        "thiếu mảnh ảnh nên để trống, hãy chạy flycam verify",
        "tiles missing, so that it stays empty: run flycam verify",
    ),
    "changes_doubted": TranslatedText(
        "Trong đó {count} thay đổi theo cặp ảnh kém chắc chắn.",
        "Of these {count:change is|changes are} of two doubtful pictures.",
    ),
    "pairs_doubted": TranslatedText(
        "{changes}: cặp ảnh kém chắc chắn. {doubt}.", "{changes}: of two doubtful pictures. {doubt}."
    ),
    "pairs_missing": TranslatedText(
        "Không có ảnh trước và sau của {changes}: vẽ tay mà không ghi cặp ảnh, tệp không giữ, hoặc không"
        " thuộc nhóm lớn nhất.",
        "Without pictures before and after: {changes} (drawn by hand over none that were named, of files that"
        " are not kept, or not among the largest).",
    ),
    "changes_near": TranslatedText(
        "Tính là ở gần: {near}. Chỉ đếm theo các lớp dữ liệu đã nạp; chưa có lớp là chưa biết, không phải là"
        " không có.",
        "Near is within: {near}. Counted by the layers that are known; where there is no layer nothing is"
        " known, which is not none.",
    ),
    "touches_nothing": TranslatedText(
        "không chạm đối tượng nào của các lớp hiện có", "touches nothing of the layers there are"
    ),
    "not_known_of": TranslatedText(
        "chưa có lớp nên chưa biết: {kinds}", "not known, for there is no layer: {kinds}"
    ),
    "no_layer": TranslatedText("chưa biết (không có lớp)", "not known (no layer)"),
    "none_by_layer": TranslatedText("không có, theo lớp hiện có", "none, by the layers there are"),
    "road_without_name": TranslatedText("đường không tên", "a road without a name"),
    "inside_and_near": TranslatedText("{inside} trong vùng, {near} ở gần", "{inside} inside, {near} near"),
    "inside": TranslatedText("{count} trong vùng", "{count} inside"),
    "near": TranslatedText("{count} ở gần", "{count} near"),
    "none_in_part": TranslatedText(
        "chưa thấy, lớp chỉ phủ một phần", "none seen, the layers cover only a part"
    ),
    "at_least": TranslatedText("ít nhất {said}", "at least {said}"),
    "by_layers": TranslatedText("Theo các lớp: {layers}.", "By these layers: {layers}."),
    "by_no_layers": TranslatedText(
        "Chưa có lớp dữ liệu nào phủ các thay đổi này.", "No layer covers the ground of these changes."
    ),
    "layer_dated": TranslatedText("{name}, số liệu lúc {at}{old}", "{name}, as of {at}{old}"),
    "layer_undated": TranslatedText("{name}, không rõ thời điểm{old}", "{name}, of an unknown time{old}"),
    "layer_old": TranslatedText(" (cũ)", " (old)"),
    "overview": TranslatedText("2. Bản đồ tổng quan", "2. Overview map"),
    "locator_caption": TranslatedText(
        "Vị trí: khung xanh là phạm vi bản đồ tổng quan; màu vàng: xã có ảnh, màu cam: xã có thay đổi đã xác"
        " nhận, số theo bảng; mũi tên chỉ hướng bắc.",
        "Where it is: the blue frame is the overview map; yellow: communes with pictures, orange: with"
        " confirmed changes, numbered as in the table; the arrow points north.",
    ),
    "overview_caption": TranslatedText(
        "Phạm vi đã chụp; ảnh mới nằm trên. Đường vàng: ranh giới xã, số theo bảng; kẻ chéo: chưa bay chụp.",
        "Ground shown, newer pictures on top. Yellow: commune boundaries, numbered as in the table;"
        " hatched: not flown.",
    ),
    "marks_caption": TranslatedText("Số đỏ: điểm đánh dấu thực địa.", "Red numbers: field marks."),
    "changes_caption": TranslatedText(
        "T và số, viền tím: thay đổi đã xác nhận.", "T and number, violet: confirmed changes."
    ),
    "flights": TranslatedText("3. Các chuyến bay", "3. Flights"),
    "not_complete": TranslatedText(
        "{number}. Chưa đủ ảnh khi lập báo cáo: chuyến bay còn đang bay hoặc đang nạp.",
        "{number}. Not complete when this was made: still in the air, or being read in.",
    ),
    "communes": TranslatedText("4. Theo xã, phường", "4. By commune"),
    "marks_shared": TranslatedText(
        "Khu vực tìm kiếm nằm trên nhiều xã được tính ở mỗi xã.",
        "A search sector over several communes counts in each.",
    ),
    "annex": TranslatedText("Phụ lục {number}. {name}", "Annex {number}. {name}"),
    "commune_caption": TranslatedText(
        "{name}: ảnh mới nhất lúc {last}, cách lúc lập báo cáo {age}; kẻ chéo: chưa bay chụp.",
        "{name}: newest picture {last}, {age} before this report; hatched: not flown.",
    ),
    "marks": TranslatedText("Điểm đánh dấu thực địa", "Field marks"),
    "marks_elsewhere": TranslatedText(
        "Điểm đánh dấu ngoài các xã trên", "Field marks outside these communes"
    ),
    "no_marks": TranslatedText("Chưa có điểm đánh dấu nào ở đây.", "Nothing is marked here."),
    "sources": TranslatedText("Nguồn và mã băm", "Sources and hashes"),
    "sources_said": TranslatedText(
        "Mỗi ảnh được ghi theo mã SHA-256 của bản gốc, bản gốc được giữ nguyên tới hết thời hạn lưu giữ."
        " Danh sách đầy đủ: nguon-anh.csv; mã băm của mọi tệp trong gói:"
        " manifest.sha256 (kiểm tra bằng sha256sum -c manifest.sha256).",
        "Each photo is named by the SHA-256 of its original, kept as it is while its term lasts."
        " The whole list: photo-sources.csv; hashes of every file of the pack:"
        " manifest.sha256 (sha256sum -c manifest.sha256 checks them).",
    ),
    "sources_many": TranslatedText(
        "Có {count} ảnh: chỉ liệt kê trong nguon-anh.csv.",
        "Photos: {count}, listed in photo-sources.csv only.",
    ),
    "sources_beside": TranslatedText(
        "Ảnh của các chuyến bay khác, dùng để chỉ mặt đất trước hoặc sau thay đổi:",
        "Photos of other flights, on which the ground before or after a change is shown:",
    ),
    "audit_said": TranslatedText(
        "Nhật ký khi lập gói; còn nguyên hay không kiểm tra bằng flycam audit verify --head SỐ:MÃ.",
        "The audit log as it was then; flycam audit verify --head NUMBER:DIGEST tells if it still stands.",
    ),
    "term_audit_number": TranslatedText("Dòng cuối, số", "Last line, number"),
    "term_audit_digest": TranslatedText("Mã băm của dòng cuối", "Digest of that line"),
    "term_audit_key": TranslatedText("Khoá ký của máy (Ed25519)", "The box's key (Ed25519)"),
    "term_audit_signature": TranslatedText("Chữ ký, nửa đầu", "Signature, first half"),
    "term_audit_signature_rest": TranslatedText("Chữ ký, nửa sau", "Signature, second half"),
    "no_audit": TranslatedText("Nhật ký chưa có dòng nào.", "The audit log has no line yet."),
    # columns and terms
    "col_number": TranslatedText("TT", "No."),
    "col_audit": TranslatedText("Nhật ký", "Audit log"),
    "col_audit_value": TranslatedText("Giá trị", "Value"),
    "col_flight": TranslatedText("Chuyến bay", "Flight"),
    "col_time": TranslatedText("Thời gian chụp", "Taken"),
    "col_operator": TranslatedText("Người bay", "Operator"),
    "col_gsd": TranslatedText("Độ phân giải", "GSD"),
    "col_error": TranslatedText("Sai số mặt đất", "Error on the ground"),
    "col_area": TranslatedText("Đã chụp", "Shown"),
    "col_pct": TranslatedText("Tỉ lệ", "Share"),
    "col_commune": TranslatedText("Xã, phường", "Commune"),
    "col_last": TranslatedText("Ảnh mới nhất", "Newest picture"),
    "col_age": TranslatedText("Cách đây", "Age"),
    "col_marks": TranslatedText("Đánh dấu", "Marks"),
    "col_waiting": TranslatedText("Chờ soát xét", "Waiting"),
    "col_kind": TranslatedText("Loại", "Kind"),
    "col_status": TranslatedText("Tình trạng", "Status"),
    "col_count": TranslatedText("Số thay đổi", "Changes"),
    "col_change_area": TranslatedText("Diện tích", "Area"),
    "col_roads_cut": TranslatedText("Đường bị cắt", "Roads cut"),
    "col_houses": TranslatedText("Nhà", "Houses"),
    "col_others": TranslatedText("Công trình khác", "Other works"),
    "col_touched": TranslatedText("Bị ảnh hưởng", "Touches"),
    "col_decided": TranslatedText("Người xác nhận, lúc", "Confirmed by, at"),
    "col_thing": TranslatedText("Đối tượng", "What"),
    "col_things": TranslatedText("Số", "How many"),
    "col_trouble": TranslatedText("Sự cố", "Trouble"),
    "col_told_by": TranslatedText("Nguồn, lúc", "By, as of"),
    "col_settlement": TranslatedText("Thôn, bản", "Settlement"),
    "col_access": TranslatedText("Tình trạng", "Access"),
    "col_roads_say": TranslatedText("Theo đường", "By roads"),
    "col_place": TranslatedText("Toạ độ", "Place"),
    "col_note": TranslatedText("Ghi chú", "Note"),
    "col_author": TranslatedText("Người báo, lúc", "By, at"),
    "col_photo": TranslatedText("Ảnh gốc", "Photo"),
    "col_sha256": TranslatedText("SHA-256", "SHA-256"),
    "term_area": TranslatedText("Diện tích đã chụp", "Ground shown"),
    "term_time": TranslatedText("Chụp từ", "Taken"),
    "term_age": TranslatedText(
        "Tuổi ảnh mới nhất khi lập báo cáo", "Age of the newest picture when this was made"
    ),
    "term_gsd": TranslatedText("Độ phân giải mặt đất", "Ground sample distance"),
    "term_flights": TranslatedText("Chuyến bay", "Flights"),
    "term_error": TranslatedText("Sai số trên mặt đất (1 sigma)", "Error on the ground (1 sigma)"),
    "share_of_communes": TranslatedText("{area} ({pct} diện tích)", "{area} ({pct} of their area)"),
    "share_of_commune": TranslatedText("{area} ({pct} diện tích xã)", "{area} ({pct} of the commune)"),
    "error_of": TranslatedText("{median}; 95 % trong {p95}", "{median}; 95 % within {p95}"),
    "shift_in_it": TranslatedText("gồm lệch chung {shift}", "common shift of {shift} included"),
    "shift_unknown": TranslatedText(
        "chưa kể lệch chung: chưa rõ", "common shift not known, and not included"
    ),
    "error_live": TranslatedText("chưa rõ (bản chưa hoàn thiện)", "not known (not finished)"),
    "error_unreported": TranslatedText(
        "chưa rõ (chưa có báo cáo chất lượng)", "not known (no quality report)"
    ),
    "on_plane": TranslatedText("không có địa hình, trải trên mặt phẳng", "no terrain known, laid on a plane"),
    "vn2000": TranslatedText(
        "VN-2000 X {x} Y {y} (KTT {meridian})", "VN-2000 X {x} Y {y} (central meridian {meridian})"
    ),
    "ago": TranslatedText("cách đây {age}", "{age} ago"),
    "age_minutes": TranslatedText("{count} phút", "{count:minute|minutes}"),
    "age_hours": TranslatedText("{count} giờ", "{count:hour|hours}"),
    "age_days": TranslatedText("{count} ngày", "{count:day|days}"),
    "age_years": TranslatedText("{count} năm", "{count:year|years}"),
    # the end of the document
    "recipients": TranslatedText("Nơi nhận:", "To:"),
    "dots": TranslatedText("…………………", "…………………"),
    # the folder
    "viewer_title": TranslatedText("Gói tài liệu họp", "Meeting pack"),
    "viewer_help": TranslatedText(
        "Chọn ảnh trong danh sách; cuộn chuột, nhấp đúp hoặc phím + − để phóng to, kéo để di chuyển, phím mũi"
        " tên để chuyển ảnh.",
        "Choose a picture in the list; scroll, double-click or press + and − to zoom, drag to move, arrow"
        " keys for the next one.",
    ),
    "viewer_unseen": TranslatedText(
        "Thay đổi đã xác nhận, không có ảnh trước và sau:",
        "Confirmed changes without pictures before and after:",
    ),
    "viewer_files": TranslatedText("Tệp", "Files"),
    "viewer_overview": TranslatedText("Tổng quan", "Overview"),
    "viewer_locator": TranslatedText("Vị trí trong tỉnh", "Where it is"),
}


def format_pack_text(key: str, language: str, **values: object) -> str:
    """Return a phrase of the pack in "vi" or "en"; raises as `texts.format_phrase`."""
    return format_phrase(PACK_TEXTS, key, language, **values)


def format_table_head(language: str, *columns: str) -> tuple[str, ...]:
    """Return the head of a table, from the keys of its columns."""
    return tuple(format_pack_text(f"col_{name}", language) for name in columns)


def format_place(
    lonlat_deg: tuple[float, float], vn2000: tuple[float, float, float] | None, language: str
) -> str:
    """Format coordinates with decimal points in any language.

    They are copied into other programs.
    """
    lon, lat = lonlat_deg
    said = f"{lat:.6f}, {lon:.6f}"
    if vn2000 is None:
        return said
    x, y, meridian_deg = vn2000
    degrees, minutes = divmod(round(meridian_deg * 60), 60)
    meridian = f"{degrees}°{minutes:02}′"
    return f"{said}; {format_pack_text('vn2000', language, x=f'{x:.1f}', y=f'{y:.1f}', meridian=meridian)}"
